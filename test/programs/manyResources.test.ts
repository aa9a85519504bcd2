import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, LogLevel } from "effect"
import * as Drain from "../../src/core/Drain.js"
import * as Shutdown from "../../src/core/Shutdown.js"
import * as TestApp from "../../src/testing/TestApp.js"

const names = (count: number) => Array.from({ length: count }, (_, index) => `r${index + 1}`)

const resource = (name: string, options: Drain.Steps<void> = {}) =>
  Layer.scopedDiscard(Drain.acquire({ ...options, name, acquire: Effect.void }))

/** Keeps the messages of log lines from this level on. */
const logged = (lines: Array<string>) =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ logLevel, message }) => {
      if (LogLevel.greaterThanEqual(logLevel, LogLevel.Info)) lines.push(String(message))
    })
  )

/** How long each of twenty may take that use all of it: a reserve of 2 seconds is divided, and nothing is left over. */
const shares = (
  "5s 5s 5s 5s 3s 680ms 345ms 177ms 94ms 52ms 31ms 20ms 15ms 13ms 11ms 11ms 10ms 10ms 10ms 10ms"
).split(" ")

describe("many resources", () => {
  it.scoped("each of a chain that ignores its releases is released in turn, and reported, by the deadline", () =>
    Effect.gen(function*() {
      const released: Array<string> = []
      const stubborn = names(20).map((name) =>
        resource(name, {
          release: () => Effect.zipRight(Effect.sync(() => released.push(name)), Effect.uninterruptible(Effect.never))
        })
      ).reduce((app, below) => Layer.provideMerge(app, below))
      const app = yield* TestApp.start(stubborn)
      yield* app.signal("SIGTERM")
      const { drains, elapsed, exitCode, failure } = yield* app.report
      assert.deepStrictEqual(released, names(20))
      assert.deepStrictEqual(
        drains.map(({ cut, name, outcome, reason }) => [name, outcome, reason, cut]),
        names(20).map((name, index) => [name, "Abandoned", `release not done within ${shares[index]}`, 1])
      )
      assert.deepStrictEqual([exitCode, failure], [1, undefined])
      assert.isAtMost(Duration.toMillis(elapsed), 25_000)
    }))

  it.scoped("ten thousand are all in the journal and in the report, in order; the log counts those that were drained", () =>
    Effect.gen(function*() {
      const all = names(10_000)
      const lines: Array<string> = []
      const app = yield* TestApp.start(
        Layer.scopedDiscard(Effect.forEach(all, (name) =>
          Drain.acquire({
            name,
            acquire: Effect.void,
            release: () => name === "r3" ? Effect.fail(new Error("no")) : Effect.void
          }), { discard: true }))
      ).pipe(Effect.provide(logged(lines)))
      yield* app.signal("SIGTERM")
      const { drains, exitCode } = yield* app.report
      const reversed = all.toReversed()
      assert.deepStrictEqual([drains.map(({ name }) => name), exitCode], [reversed, 1])
      assert.deepStrictEqual(yield* app.journal, [
        "0ms app Running",
        "0ms SIGTERM received",
        "0ms app shutdown requested: SIGTERM",
        "0ms app Draining",
        ...reversed.flatMap((name) => [`0ms ${name} releasing`, `0ms ${name} Drained`]),
        "0ms app Stopped"
      ])
      assert.deepStrictEqual(lines.slice(lines.indexOf("Draining")), [
        "Draining",
        ...reversed.slice(0, 50).map((name) => `${name} Drained in 0ms`),
        "r3 Drained in 0ms, release failed: no",
        "9949 more Drained",
        "Stopped",
        "stopped"
      ])
    }))

  it.scoped("one for each request of a lame duck leaves no trace, unless something goes wrong", () =>
    Effect.gen(function*() {
      const request = (options: Drain.Steps<void> = {}) =>
        Effect.scoped(Drain.acquire({ ...options, name: "request", acquire: Effect.void }))
      const app = yield* TestApp.start(
        Layer.scopedDiscard(Effect.forkScoped(Effect.gen(function*() {
          yield* Shutdown.Shutdown.pipe(Effect.flatMap(({ lameDuck }) => lameDuck))
          for (let n = 0; n < 1000; n++) yield* request({ drain: () => Effect.void, release: () => Effect.void })
          yield* request({ drain: () => Effect.void, release: () => Effect.fail(new Error("no")) })
        }))).pipe(Layer.provideMerge(resource("database"))),
        { preStopDelay: "5 seconds" }
      )
      yield* app.signal("SIGTERM")
      const { drains } = yield* app.report
      assert.deepStrictEqual(drains.map(({ failure, name }) => [name, failure]), [
        ["request", "release failed: no"],
        ["database", undefined]
      ])
      assert.deepStrictEqual(yield* app.journal, [
        "0ms app Running",
        "0ms SIGTERM received",
        "0ms app shutdown requested: SIGTERM",
        "0ms app LameDuck",
        "0ms request draining",
        "0ms request releasing",
        "0ms request Drained",
        "5s app Draining",
        "5s database Drained",
        "5s app Stopped"
      ])
    }))
})
