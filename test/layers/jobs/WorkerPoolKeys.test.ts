import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, FastCheck as fc, Fiber, Schedule, TestClock } from "effect"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { holdsFor } from "../../kit/holdsFor.js"
import { long } from "../../kit/long.js"
import { virtually } from "../../kit/virtually.js"
import { type KeyedJob, makeKeyJournal } from "./keysWorld.js"
import { makeWorld } from "./WorkerPoolWorld.js"

/** A random job. Times are in quarters of a second. */
interface Job extends KeyedJob {
  readonly takes: number
  readonly failures: number
  readonly snoozes: boolean
}

class Pool extends WorkerPool.Tag("pool")<Pool, Job>() {}
class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}

const quarters = (n: number) => Duration.millis(n * 250)
const job = fc.record({
  key: fc.constantFrom("a", "b", "c"),
  takes: fc.integer({ min: 0, max: 12 }),
  delay: fc.integer({ min: 0, max: 8 }),
  failures: fc.integer({ min: 0, max: 3 }),
  snoozes: fc.boolean(),
  priority: fc.integer({ min: 0, max: 9 })
})
const scenario = fc.record({
  jobs: fc.array(job, { maxLength: 16 }),
  concurrency: fc.integer({ min: 1, max: 5 }),
  batched: fc.boolean(),
  drainsAfter: fc.integer({ min: 0, max: 24 })
})
type Scenario = typeof scenario extends fc.Arbitrary<infer A> ? A : never

/** Runs the jobs in a pool that is drained at some time, and in the next one. */
const run = ({ batched, concurrency, drainsAfter, jobs }: Scenario) =>
  Effect.gen(function*() {
    const world = yield* makeWorld({ durable: true })
    const journal = makeKeyJournal()
    const snoozed = new Set<string>()
    const options = {
      concurrency,
      drainTimeout: "1 second",
      retry: Schedule.spaced("500 millis").pipe(Schedule.intersect(Schedule.recurs(2)))
    } as const
    const layer = batched
      ? Pool.layerBatched({
        ...options,
        batchSize: 3,
        processAll: (batch) =>
          batch.reduce(
            (work: Effect.Effect<unknown>, { payload }) => journal.recorded(payload, work),
            Effect.sleep(quarters(batch[0].payload.takes))
          )
      })
      : Pool.layer({
        ...options,
        process: (job, { attempt, id, snooze }) =>
          journal.recorded(
            job,
            Effect.gen(function*() {
              yield* Effect.sleep(quarters(job.takes))
              if (job.snoozes && !snoozed.has(id)) {
                yield* Effect.sync(() => snoozed.add(id)).pipe(Effect.zipRight(snooze("1 second")))
              }
              if (attempt <= job.failures) return yield* Effect.fail("bad luck")
            })
          )
      })
    const first = yield* world.build(layer)
    const counts = new Map<string, number>()
    for (const { delay, priority, ...job } of jobs) {
      const n = counts.get(job.key) ?? 0
      counts.set(job.key, n + 1)
      yield* Pool.offer({ ...job, n }, { key: job.key, priority, delay: quarters(delay) }).pipe(
        Effect.provide(first.context)
      )
    }
    yield* Effect.sleep(quarters(drainsAfter))
    yield* world.lifecycle.transition("LameDuck")
    yield* first.stop
    const next = yield* world.build(layer, (yield* makeWorld()).lifecycle.shutdown)
    yield* Effect.sleep("3 minutes")
    const queue = yield* world.open("pool")
    assert.strictEqual(yield* queue.size, 0)
    yield* next.stop
    assert.strictEqual(journal.assertSound(), jobs.length)
  }).pipe(Effect.scoped, virtually)

describe("Jobs with keys", () => {
  it.live(
    "run one at a time and in order, whatever their priorities, delays, failures, snoozes and drains",
    () => holdsFor(scenario, run, { numRuns: long ? 2_000 : 30 }),
    300_000
  )

  it.scoped("are handed back by a drain with the turn of their keys", () =>
    Effect.gen(function*() {
      const { build, entries, note, open } = yield* makeWorld({ durable: true })
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 4,
        drainTimeout: "1 second",
        process: (letter) => Effect.zipRight(note(letter), Effect.never)
      }))
      yield* Letters.offerAll(["a1", "a2", "free", "b1"], { keys: ["a", "a", undefined, "b"] }).pipe(
        Effect.provide(context)
      )
      yield* TestClock.adjust("1 second")
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, ["0s a1", "0s free", "0s b1"])
      const claims = yield* Effect.flatMap(open("letters"), (_) => _.claim(9))
      assert.deepStrictEqual(claims.map(({ attempt, payload }) => [payload, attempt]), [["a1", 1], ["free", 1], [
        "b1",
        1
      ]])
    }))

  it.scoped("run one after the other in a drain over memory, until the queue is empty", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld()
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 4,
        process: (letter) => Effect.zipRight(note(letter), Effect.sleep("1 second"))
      }))
      yield* Letters.offerAll(["a1", "a2", "a3", "b1"], { keys: ["a", "a", "a", "b"] }).pipe(Effect.provide(context))
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, ["0s a1", "0s b1", "1s a2", "2s a3"])
    }))

  it.scoped("are offered with one key: an empty one is refused", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld()
      const { context } = yield* build(Letters.layer({ concurrency: 1, process: () => Effect.void }))
      const { message } = yield* Effect.flip(Effect.provide(Letters.offer("a", { key: "" }), context))
      assert.match(message, /letters: offer failed: a key is empty/)
    }))
})
