import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Fiber, Schedule, Stream, TestClock } from "effect"
import * as Lifecycle from "../../src/core/Lifecycle.js"
import { Shutdown, untilDraining, untilDrainingThen } from "../../src/core/Shutdown.js"

/** Emits a number each second, and says when it was let go of. */
const ticks = (journal: Array<string>, count = 1000) =>
  Stream.fromSchedule(Schedule.spaced("1 second")).pipe(
    Stream.take(count),
    Stream.map((n) => `tick ${n}`),
    Stream.ensuring(Effect.sync(() => journal.push("released")))
  )

/** What such a stream emits when the service begins to drain after two and a half seconds. */
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

describe("a stream that ends when the service begins to drain", () => {
  it.effect("ends at once, with its finalizers", () =>
    Effect.gen(function*() {
      const journal: Array<string> = []
      assert.deepStrictEqual(yield* emitted(untilDraining(ticks(journal))), ["tick 0", "tick 1"])
      assert.deepStrictEqual(journal, ["released"])
    }))

  it.effect("says its last words after that", () =>
    Effect.gen(function*() {
      const journal: Array<string> = []
      const last = Stream.suspend(() => Stream.make(`bye, ${journal.length} released`))
      assert.deepStrictEqual(
        yield* emitted(untilDrainingThen(last)(ticks(journal))),
        ["tick 0", "tick 1", "bye, 1 released"]
      )
    }))

  it.effect("has no last words when it ended by itself", () =>
    Effect.gen(function*() {
      const stream = untilDrainingThen(Stream.make("bye"))(ticks([], 2))
      assert.deepStrictEqual(yield* emitted(stream), ["tick 0", "tick 1"])
    }))
})
