import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option, TestClock } from "effect"
import { makeQueueBound } from "../../../src/layers/jobs/internal/queueBound.js"

const noJobs = { count: 0, estimated: false }

/** A queue of capacity 100 whose jobs other processes offer and take as well. */
const makeWorld = (options: { readonly countTakes?: number; readonly inTransaction?: boolean } = {}) => {
  const queue = { jobs: 0, counts: 0 }
  const takeRoom = makeQueueBound({
    queue: "letters",
    capacity: 100,
    depth: Effect.delay(
      Effect.sync(() => {
        queue.counts++
        const jobs = {
          Waiting: { count: queue.jobs, estimated: false },
          Delayed: noJobs,
          Blocked: noJobs,
          Running: noJobs,
          Dead: noJobs
        }
        return { jobs, oldest: Option.none() }
      }),
      options.countTakes ?? 0
    ),
    isInTransaction: Effect.succeed(options.inTransaction ?? false)
  })
  const offer = (jobs: number) =>
    Effect.map(Effect.exit(takeRoom(jobs)), (exit) => {
      if (Exit.isSuccess(exit)) queue.jobs += jobs
      return Exit.isSuccess(exit)
    })
  return { queue, offer }
}

describe("The bound of a durable queue", () => {
  for (const inTransaction of [false, true]) {
    it.effect(`counts once a second while there is room, ${inTransaction ? "in" : "outside of"} transactions`, () =>
      Effect.gen(function*() {
        const { offer, queue } = makeWorld({ inTransaction })
        for (let n = 0; n < 50; n++) {
          assert.isTrue(yield* offer(1))
          queue.jobs--
          yield* TestClock.adjust("100 millis")
        }
        assert.strictEqual(queue.counts, 5)
      }))
  }

  it.effect("counts again when the offers of this process have used up the room, since jobs were taken meanwhile", () =>
    Effect.gen(function*() {
      const { offer, queue } = makeWorld()
      for (let n = 0; n < 500; n++) {
        assert.isTrue(yield* offer(1))
        queue.jobs = 0
      }
      assert.strictEqual(queue.counts, 5)
    }))

  it.effect("counts no more often than for a tenth of the time, and refuses meanwhile", () =>
    Effect.gen(function*() {
      const { offer, queue } = makeWorld({ countTakes: 30 })
      queue.jobs = 100
      const first = yield* Effect.fork(Effect.replicateEffect(offer(1), 1_000))
      yield* TestClock.adjust("30 millis")
      assert.deepStrictEqual(new Set(yield* first), new Set([false]))
      queue.jobs = 0
      assert.isFalse(yield* offer(1))
      yield* TestClock.adjust("269 millis")
      assert.isFalse(yield* offer(1))
      assert.strictEqual(queue.counts, 1)
      yield* TestClock.adjust("1 millis")
      const again = yield* Effect.fork(offer(1))
      yield* TestClock.adjust("30 millis")
      assert.isTrue(yield* again)
    }))

  it.effect("counts once for all offers that come at the same time, and accepts no more than there is room for", () =>
    Effect.gen(function*() {
      const { offer, queue } = makeWorld({ countTakes: 30 })
      queue.jobs = 40
      const offers = yield* Effect.fork(Effect.forEach(Array.from({ length: 90 }), () => offer(1), {
        concurrency: "unbounded"
      }))
      yield* TestClock.adjust("30 millis")
      const accepted = (yield* offers).filter((accepted) => accepted)
      assert.deepStrictEqual([accepted.length, queue.jobs, queue.counts], [60, 100, 1])
    }))

  it.effect("an offer that is interrupted while it counts does not hold up the others", () =>
    Effect.gen(function*() {
      const { offer, queue } = makeWorld({ countTakes: 30 })
      const first = yield* Effect.fork(offer(1))
      yield* TestClock.adjust("10 millis")
      const second = yield* Effect.fork(offer(1))
      yield* Effect.yieldNow()
      yield* first.interruptAsFork(first.id())
      yield* TestClock.adjust("20 millis")
      assert.isTrue(yield* second)
      assert.strictEqual(queue.counts, 1)
    }))
})
