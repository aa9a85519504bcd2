import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, TestClock } from "effect"
import * as Drain from "../../src/core/Drain.js"
import * as Shutdown from "../../src/core/Shutdown.js"
import { launch } from "../../src/programs/launch.js"
import * as Interruption from "../../src/testing/Interruption.js"
import * as TestApp from "../../src/testing/TestApp.js"

const worker = Layer.scopedDiscard(Drain.acquire({
  name: "worker",
  acquire: Effect.void,
  drain: () => Effect.sleep("3 seconds")
}))

const turn = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

const giveUpAfter = "50 millis"

const start = <E>(layer: Layer.Layer<never, E>, options: TestApp.Options = {}) =>
  TestApp.start(layer, { giveUpAfter, ...options })

/** The message of the defect, in an effect that ends at once. */
const defect = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause), String(exit))
    return Exit.isFailure(exit) ? (Cause.squash(exit.cause) as Error).message : ""
  })

describe("a mistake in a test of an app fails at once, with one line that says what to do", () => {
  it.scoped("a resource that does not exist", () =>
    Effect.gen(function*() {
      const app = yield* start(worker)
      yield* app.signal("SIGTERM")
      assert.strictEqual(
        yield* defect(app.until("wroker", "draining")),
        "app.until(\"wroker\", \"draining\"): no resource has this name; the names are \"app\", \"worker\""
      )
    }))

  it.scoped("a state of the app for a resource", () =>
    Effect.gen(function*() {
      const app = yield* start(worker)
      assert.strictEqual(
        // @ts-expect-error no resource has this stage
        yield* defect(app.until("worker", "Draining")),
        "app.until(\"worker\", \"Draining\"): the stages of a resource are open, quiesced, draining, interrupting, " +
          "releasing, closed; \"Draining\" is a state of \"app\""
      )
    }))

  it.scoped("a stage of a resource for the app", () =>
    Effect.gen(function*() {
      const app = yield* start(worker)
      assert.strictEqual(
        // @ts-expect-error the app has no such state
        yield* defect(app.until("app", "draining")),
        "app.until(\"app\", \"draining\"): the states of the app are Starting, Running, LameDuck, Draining, Stopped; " +
          "\"draining\" is a stage of a resource"
      )
    }))

  it.scoped("a stage that does not exist", () =>
    Effect.gen(function*() {
      const app = yield* start(worker)
      assert.strictEqual(
        // @ts-expect-error there is no such stage
        yield* defect(app.until("worker", "drained")),
        "app.until(\"worker\", \"drained\"): the stages of a resource are open, quiesced, draining, interrupting, " +
          "releasing, closed; \"drained\" is none of them"
      )
    }))

  it.scoped("until before the signal", () =>
    Effect.gen(function*() {
      const app = yield* start(worker)
      assert.strictEqual(
        yield* defect(app.until("worker", "draining")),
        "app.until(\"worker\", \"draining\"): the app is Running and it is open; no shutdown was requested: send a " +
          "signal before, as with app.signal(\"SIGTERM\")"
      )
    }))

  it.scoped("exit without a signal", () =>
    Effect.gen(function*() {
      const app = yield* start(worker)
      assert.strictEqual(
        yield* defect(app.exit),
        "app.exit: the app is Running; no shutdown was requested: send a signal before, as with app.signal(\"SIGTERM\")"
      )
    }))

  it.scoped("report without a signal, while a timer is set that may request a shutdown", () =>
    Effect.gen(function*() {
      const app = yield* start(
        Layer.scopedDiscard(Effect.forkScoped(Effect.delay(Shutdown.begin("enough"), "1 minute")))
      )
      assert.strictEqual(
        yield* defect(app.report),
        "app.report: the app is Running; no shutdown was requested: send a signal before, as with " +
          "app.signal(\"SIGTERM\"); or, if a timer requests one, the next timer is in 1m: move the clock, as with " +
          "TestClock.adjust(\"1 minute\")"
      )
    }))

  it.scoped("a delay that is not waited for", () =>
    Effect.gen(function*() {
      const app = yield* start(worker, { preStopDelay: "5 seconds" })
      yield* app.signal("SIGTERM")
      assert.strictEqual(
        yield* defect(app.until("worker", "draining")),
        "app.until(\"worker\", \"draining\"): the app is LameDuck and it is open; the next timer is in 5s: move the " +
          "clock, as with TestClock.adjust(\"5 seconds\")"
      )
    }))

  it.scoped("time that was moved too early, or not far enough", () =>
    Effect.gen(function*() {
      const app = yield* start(worker, { preStopDelay: "5 seconds" })
      yield* app.signal("SIGTERM")
      yield* TestClock.adjust("4500 millis")
      assert.strictEqual(
        yield* defect(app.until("app", "Draining")),
        "app.until(\"app\", \"Draining\"): it is LameDuck; the next timer is in 500ms: move the clock, as with " +
          "TestClock.adjust(\"500 millis\")"
      )
    }))

  it.scoped("exit without moving the clock", () =>
    Effect.gen(function*() {
      const app = yield* start(worker)
      yield* app.signal("SIGTERM")
      assert.strictEqual(
        yield* defect(app.exit),
        "app.exit: the app is Draining; the next timer is in 3s: move the clock, as with TestClock.adjust(\"3 seconds\")"
      )
    }))

  it.scoped("a second signal within the window of duplicates", () =>
    Effect.gen(function*() {
      const app = yield* start(worker)
      yield* app.signal("SIGINT")
      yield* app.until("worker", "draining")
      yield* app.signal("SIGINT")
      assert.strictEqual(
        yield* defect(app.until("worker", "closed")),
        "app.until(\"worker\", \"closed\"): the app is Draining and it is draining; the last SIGINT came within " +
          "duplicateWindow and was ignored: TestClock.adjust(\"500 millis\") before it, or move the clock to the end " +
          "of the wait"
      )
    }))

  it.scoped("a signal that the app does not listen to", () =>
    Effect.gen(function*() {
      const app = yield* start(worker)
      assert.strictEqual(
        yield* defect(app.signal("SIGUSR2")),
        "app.signal(\"SIGUSR2\"): the app listens to SIGTERM, SIGINT, SIGHUP alone: add it to the option signals"
      )
    }))

  it.scoped("an acquire that sleeps", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* defect(start(Layer.provide(Layer.effectDiscard(Effect.sleep("2 seconds")), worker))),
        "TestApp.start: the app is Starting (\"worker\" acquired), and the next timer is in 2s: move the clock, as " +
          "with TestClock.adjust(\"2 seconds\") while TestApp.start runs on a fiber of its own (Effect.fork)"
      )
    }))

  it.scoped("an acquire that never ends", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* defect(start(Layer.effectDiscard(Effect.never))),
        "TestApp.start: the app is Starting (nothing was acquired yet), and no timer is set: an acquire waits for what " +
          "never happens, or for I/O that takes longer than giveUpAfter"
      )
    }))

  it.scoped("launch inside the layer", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* defect(start(Layer.effectDiscard(launch()(worker)))),
        "TestApp.start: launch() runs inside the layer: give TestApp.start the layer itself"
      )
    }))

  it.live("a clock that is not the TestClock", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* defect(Effect.scoped(start(worker))),
        "TestApp.start: the clock is not the TestClock: use it.effect or it.scoped, not it.live"
      )
    }))

  it.scoped("a wait for a resource after the app has exited", () =>
    Effect.gen(function*() {
      const app = yield* start(worker)
      yield* app.signal("SIGTERM")
      yield* app.report
      assert.strictEqual(
        yield* defect(app.until("pool", "closed")),
        "app.until(\"pool\", \"closed\"): no resource has this name; the names are \"app\", \"worker\""
      )
    }))

  it.scoped("an app that failed to start, as NotStarted", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(start(Layer.effectDiscard(Effect.fail(new Error("no such table")))))
      assert.deepStrictEqual([error._tag, error.message], ["NotStarted", "cannot start: no such table"])
    }))

  it.scoped("without giveUpAfter, after a second", () =>
    Effect.gen(function*() {
      const app = yield* TestApp.start(worker)
      const began = performance.now()
      yield* defect(app.exit)
      assert.isAbove(performance.now() - began, 900)
    }))
})

describe("a wait of a test that does end", () => {
  it.scoped("is not cut short while another fiber moves the clock", () =>
    Effect.gen(function*() {
      const starting = yield* Effect.fork(start(
        Layer.provide(Layer.effectDiscard(Effect.sleep("2 seconds")), worker)
      ))
      yield* TestClock.adjust("2 seconds")
      const app = yield* Fiber.join(starting)
      const drained = yield* Effect.fork(app.until("worker", "closed"))
      yield* app.signal("SIGTERM")
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(drained)
      assert.strictEqual(yield* app.exit, 0)
    }))

  it.scoped("returns at once for a stage that was passed long ago", () =>
    Effect.gen(function*() {
      const app = yield* start(worker)
      yield* app.signal("SIGTERM")
      yield* app.report
      yield* app.until("worker", "quiesced")
      yield* app.until("app", "Running")
    }))

  it.scoped("is not cut short by real I/O that takes less than giveUpAfter", () =>
    Effect.gen(function*() {
      const file = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 200)))
      const app = yield* TestApp.start(Layer.effectDiscard(file))
      yield* app.signal("SIGTERM")
      assert.strictEqual((yield* app.report).exitCode, 0)
    }))

  it.scoped("does not move the clock while hundreds of resources are released, a turn of the event loop each", () =>
    Effect.gen(function*() {
      const many = Layer.scopedDiscard(Effect.gen(function*() {
        // A timer that is due soon: to move the clock to it would take time from the releases.
        yield* Effect.forkScoped(Effect.forever(Effect.sleep("1 second")))
        yield* Effect.forEach(
          Array.from({ length: 500 }),
          () => Drain.acquire({ name: "cursor", acquire: Effect.void, release: () => turn }),
          { discard: true }
        )
      }))
      const app = yield* TestApp.start(many)
      yield* app.signal("SIGTERM")
      const report = yield* app.report
      assert.strictEqual(report.drains.length, 500)
      assert.strictEqual((yield* app.journal).at(-1), "0ms app Stopped")
    }))

  it.effect("ends by itself in an exploration, whose clock moves by itself", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: Effect.void,
        program: () =>
          Effect.gen(function*() {
            const app = yield* TestApp.start(worker, { preStopDelay: "5 seconds" })
            yield* app.signal("SIGTERM")
            yield* app.until("worker", "draining")
            return (yield* app.report).exitCode
          }),
        invariant: (_, exit) => Effect.sync(() => assert.isTrue(Exit.isInterrupted(exit) || Exit.isSuccess(exit))),
        sample: 10
      })
      assert.deepStrictEqual([report.end, report.safe], ["Completed", true], String(report))
    }))
})
