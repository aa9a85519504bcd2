import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, TestClock } from "effect"
import type { Terminal } from "../../src/core/Host.js"
import * as Lifecycle from "../../src/core/Lifecycle.js"
import { drawShutdown } from "../../src/programs/internal/output.js"

describe("the drawing of the drain", () => {
  it.effect("is renewed ten times a second, and is over the moment the service has stopped", () =>
    Effect.gen(function*() {
      const lifecycle = yield* Lifecycle.make({ gracePeriod: "25 seconds" })
      yield* lifecycle.transition("Running")
      yield* lifecycle.shutdown.begin({ reason: "SIGINT" })
      yield* lifecycle.transition("Draining")
      const drawn: Array<readonly [number, string]> = []
      const terminal: Terminal = {
        columns: 80,
        print: () => Effect.void,
        liveRegion: Effect.succeed((text) =>
          Effect.map(Clock.currentTimeMillis, (at) => void drawn.push([at, text.split("\n")[0]!]))
        )
      }
      const drawing = yield* Effect.fork(drawShutdown(lifecycle, terminal))
      yield* TestClock.adjust("250 millis")
      yield* lifecycle.transition("Stopped")
      yield* Fiber.join(drawing)
      assert.deepStrictEqual(drawn.map(([at]) => at), [0, 100, 200, 250])
      assert.include(drawn[0]![1], "SIGINT")
    }))
})
