import { assert, describe, it } from "@effect/vitest"
import { Chunk, Duration, Effect, Fiber, Option, Schedule, Stream, TestClock } from "effect"
import * as Lifecycle from "../../src/core/Lifecycle.js"
import { Shutdown, untilDraining, untilDrainingThen } from "../../src/core/Shutdown.js"

describe("Lifecycle", () => {
  it.effect("has a deadline once a shutdown is requested, and the first request counts", () =>
    Effect.gen(function*() {
      const { requested, shutdown } = yield* Lifecycle.make({ gracePeriod: "10 seconds" })
      assert.deepStrictEqual(
        [yield* shutdown.deadline, yield* shutdown.remaining, yield* shutdown.elapsed],
        [Option.none(), Duration.infinity, Duration.zero]
      )
      yield* TestClock.adjust("1 second")
      yield* shutdown.begin({ reason: "first" })
      yield* TestClock.adjust("3 seconds")
      yield* shutdown.begin({ reason: "second" })
      assert.deepStrictEqual(
        [yield* shutdown.deadline, yield* shutdown.remaining, yield* shutdown.elapsed],
        [Option.some(11_000), Duration.seconds(7), Duration.seconds(3)]
      )
      assert.deepStrictEqual(yield* requested, {
        at: 1000,
        from: "Starting",
        reason: "first",
        failure: Option.none(),
        cause: Option.none()
      })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* shutdown.remaining, Duration.zero)
    }))

  it.effect("does not move to Running once a shutdown is requested", () =>
    Effect.gen(function*() {
      const { shutdown, transition } = yield* Lifecycle.make()
      yield* shutdown.begin({ reason: "test" })
      yield* transition("Running")
      assert.strictEqual(yield* shutdown.state, "Starting")
    }))

  it.effect("publishes its states in order, and completes the effects of their names", () =>
    Effect.gen(function*() {
      const { shutdown, transition } = yield* Lifecycle.make()
      const states = yield* Effect.fork(Stream.runCollect(shutdown.states))
      const lameDuck = yield* Effect.fork(shutdown.lameDuck)
      const draining = yield* Effect.fork(shutdown.draining)
      const completed = Effect.map(
        Effect.all([lameDuck.poll, draining.poll]),
        (polls) => polls.map((poll) => Option.isSome(poll))
      )
      yield* TestClock.adjust(0)
      yield* transition("Running")
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(yield* completed, [false, false])
      yield* transition("LameDuck")
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(yield* completed, [true, false])
      yield* transition("Draining")
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(yield* completed, [true, true])
      yield* transition("Stopped")
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(yield* Fiber.join(states)),
        ["Starting", "Running", "LameDuck", "Draining", "Stopped"]
      )
    }))

  it.effect("makes the report when it stops, with a failure that came after the request", () =>
    Effect.gen(function*() {
      const { fail, shutdown, snapshot, transition } = yield* Lifecycle.make()
      yield* transition("Running")
      yield* shutdown.begin({ reason: "enough" })
      yield* TestClock.adjust("2 seconds")
      yield* fail("uncaught error", "uncaught error: no")
      yield* fail("uncaught error", "uncaught error: again")
      yield* transition("Stopped")
      yield* TestClock.adjust("1 second")
      const { cause, elapsed, exitCode, failure, from } = Option.getOrThrow((yield* snapshot).report)
      assert.deepStrictEqual(
        { cause, elapsed, exitCode, failure, from },
        { cause: "enough", elapsed: Duration.seconds(2), exitCode: 1, failure: "uncaught error: no", from: "Running" }
      )
    }))
})

/** Emits a number each second, and notes the release of the stream. */
const ticks = (journal: Array<string>, count = 1000) =>
  Stream.fromSchedule(Schedule.spaced("1 second")).pipe(
    Stream.take(count),
    Stream.map((n) => `tick ${n}`),
    Stream.ensuring(Effect.sync(() => journal.push("released")))
  )

/** The elements that the stream emits when the service begins to drain after two and a half seconds. */
const emitted = <E>(stream: Stream.Stream<string, E>) =>
  Effect.gen(function*() {
    const lifecycle = yield* Lifecycle.make()
    const fiber = yield* Effect.fork(Stream.runCollect(stream)).pipe(
      Effect.provideService(Shutdown, lifecycle.shutdown)
    )
    yield* TestClock.adjust("2500 millis")
    yield* lifecycle.transition("Draining")
    return Chunk.toReadonlyArray(yield* Fiber.join(fiber))
  })

describe("untilDraining", () => {
  it.effect("ends the stream at once, with its finalizers", () =>
    Effect.gen(function*() {
      const journal: Array<string> = []
      assert.deepStrictEqual(yield* emitted(untilDraining(ticks(journal))), ["tick 0", "tick 1"])
      assert.deepStrictEqual(journal, ["released"])
    }))

  it.effect("emits the last stream after the finalizers", () =>
    Effect.gen(function*() {
      const journal: Array<string> = []
      const last = Stream.suspend(() => Stream.make(`bye, ${journal.length} released`))
      assert.deepStrictEqual(
        yield* emitted(untilDrainingThen(last)(ticks(journal))),
        ["tick 0", "tick 1", "bye, 1 released"]
      )
    }))

  it.effect("does not emit the last stream when the stream ended by itself", () =>
    Effect.gen(function*() {
      const stream = untilDrainingThen(Stream.make("bye"))(ticks([], 2))
      assert.deepStrictEqual(yield* emitted(stream), ["tick 0", "tick 1"])
    }))
})
