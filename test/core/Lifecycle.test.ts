import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Option, Scope, TestClock } from "effect"
import * as Drain from "../../src/core/Drain.js"
import * as Lifecycle from "../../src/core/Lifecycle.js"
import { Shutdown } from "../../src/core/Shutdown.js"
import { line } from "../../src/testing/Journal.js"

describe("a lifecycle that stops", () => {
  it.effect("ends what is not closed as Abandoned, in the journal and in the report", () =>
    Effect.gen(function*() {
      const lifecycle = yield* Lifecycle.make()
      const acquire = (name: string, inFlight: number) =>
        Drain.acquire({
          name,
          acquire: Effect.void,
          drain: () => Effect.never,
          progress: () => ({ inFlight, finished: 7, handedBack: 0, cut: 0 })
        }).pipe(Effect.provideService(Shutdown, lifecycle.shutdown))
      yield* Scope.extend(acquire("open", 0), yield* Scope.make())
      const closing = yield* Scope.make()
      yield* Scope.extend(acquire("draining", 3), closing)
      yield* lifecycle.shutdown.begin({ reason: "test" })
      yield* Effect.forkDaemon(Scope.close(closing, Exit.void))
      yield* TestClock.adjust("2 seconds")
      yield* lifecycle.transition("Stopped")
      const { events, report } = yield* lifecycle.snapshot
      const { drains, exitCode } = Option.getOrThrow(report)
      assert.deepStrictEqual(
        drains.map((
          { cut, elapsed, finished, name, outcome, reason, started }
        ) => [name, outcome, Duration.toMillis(started), Duration.toMillis(elapsed), finished, cut, reason]),
        [
          ["draining", "Abandoned", 0, 2000, 0, 3, "not released when the process ended"],
          ["open", "Abandoned", 2000, 0, 0, 0, "not released when the process ended"]
        ]
      )
      assert.strictEqual(exitCode, 1)
      assert.deepStrictEqual(events.map(({ at, subject, what }) => line(at, `${subject} ${what}`)), [
        "0ms app shutdown requested: test",
        "0ms draining draining",
        "2s open Abandoned",
        "2s draining Abandoned",
        "2s app Stopped"
      ])
    }))
})
