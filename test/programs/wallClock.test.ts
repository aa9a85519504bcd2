import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Option, TestClock } from "effect"
import * as Drain from "../../src/core/Drain.js"
import * as Lifecycle from "../../src/core/Lifecycle.js"
import { toJson } from "../../src/core/ShutdownReport.js"
import * as TestApp from "../../src/testing/TestApp.js"
import * as WallClock from "../kit/wallClock.js"

const resource = (options: Drain.Steps<void> & { readonly name: string }) =>
  Layer.scopedDiscard(Drain.acquire({ acquire: Effect.void, ...options }))

const App = resource({ name: "http", drain: () => Effect.sleep("6 seconds") }).pipe(
  Layer.provideMerge(resource({ name: "pool", drain: () => Effect.never, interrupt: () => Effect.sleep("1 second") })),
  Layer.provideMerge(resource({ name: "database", release: () => Effect.uninterruptible(Effect.never) }))
)

type Wall = Effect.Effect.Success<typeof WallClock.make>

/** Signals, sets the wall time one second into the drain, perhaps signals again and doubled, and observes the end. */
const observe = (step: (wall: Wall) => Effect.Effect<void>, again: boolean) =>
  Effect.gen(function*() {
    const wall = yield* WallClock.make
    const run = Effect.gen(function*() {
      const app = yield* TestApp.start(App, { preStopDelay: "2 seconds" })
      yield* app.signal("SIGTERM")
      yield* TestClock.adjust("3 seconds")
      yield* step(wall)
      if (again) {
        yield* app.signal("SIGTERM")
        yield* TestClock.adjust("300 millis")
        yield* app.signal("SIGTERM")
        yield* step(wall)
      }
      const report = toJson(yield* app.report)
      return { report, journal: yield* app.journal, exit: yield* app.exit }
    })
    return yield* Effect.scoped(run).pipe(Effect.withClock(wall.clock))
  })

const steps = {
  "set back an hour": (wall: Wall) => wall.step("1 hour", "Back"),
  "set forward an hour": (wall: Wall) => wall.step("1 hour", "Forward")
}

describe("a wall time that changes during a shutdown", () => {
  for (const [name, step] of Object.entries(steps)) {
    it.effect(`${name}: the drains have the time that they have without the change`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* observe(step, false), yield* observe(() => Effect.void, false))
      }))

    it.effect(`${name}: a second signal expedites, and its duplicate is ignored`, () =>
      Effect.gen(function*() {
        const observed = yield* observe(step, true)
        assert.deepStrictEqual(observed, yield* observe(() => Effect.void, true))
        assert.deepStrictEqual(observed.journal, [
          "0ms app Running",
          "0ms SIGTERM received",
          "0ms app shutdown requested: SIGTERM",
          "0ms app LameDuck",
          "2s app Draining",
          "2s http draining",
          "3s SIGTERM received again, expediting",
          "3s app expedited",
          "3s http Interrupted",
          "3s pool draining",
          "3s pool interrupting",
          "3.3s SIGTERM duplicate, ignored",
          "4s pool Interrupted",
          "4s database releasing",
          "9s database Abandoned",
          "9s app Stopped"
        ])
      }))

    it.effect(`${name}: the deadline moves with it, the remaining and the elapsed time do not`, () =>
      Effect.gen(function*() {
        const wall = yield* WallClock.make
        const times = Effect.gen(function*() {
          const { shutdown } = yield* Lifecycle.make({ gracePeriod: "10 seconds" })
          yield* shutdown.begin({ reason: "test" })
          yield* TestClock.adjust("2 seconds")
          yield* step(wall)
          const now = yield* wall.clock.currentTimeMillis
          return [
            Option.map(yield* shutdown.deadline, (deadline) => deadline - now),
            yield* shutdown.remaining,
            yield* shutdown.elapsed
          ]
        })
        assert.deepStrictEqual(yield* Effect.withClock(times, wall.clock), [
          Option.some(8000),
          Duration.seconds(8),
          Duration.seconds(2)
        ])
      }))
  }
})
