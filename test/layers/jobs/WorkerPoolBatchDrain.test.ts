import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule, TestClock } from "effect"
import type { JobQueue } from "../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { until } from "../../kit/until.js"
import { makeJournal, makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}

const running = (count: number) =>
  until(`${count} jobs are in flight`, Effect.map(Letters.status, (_) => _.inFlight), (n) => n === count)
const offer = (...letters: ReadonlyArray<string>) => Letters.offerAll(letters, { ids: letters })
const waiting = (open: (name: string) => Effect.Effect<JobQueue, unknown, never>) =>
  Effect.map(
    Effect.flatMap(open("letters"), (_) => _.claim(9)),
    (claims) => claims.map(({ attempt, id }) => `${id}#${attempt}`)
  )

/** Records the ids of each hand-back. */
const counted = (calls: Array<string>) => (queue: JobQueue): JobQueue => ({
  ...queue,
  handBack: (claims) =>
    Effect.suspend(() => {
      calls.push(claims.map(({ id }) => id).join(" "))
      return queue.handBack(claims)
    })
})

describe("The drain of a pool that runs batches", () => {
  it.scoped("finishes the batch in flight, and leaves the rest in the queue", () =>
    Effect.gen(function*() {
      const { build, entries, note, open, reports } = yield* makeWorld({ durable: true })
      const { context, stop } = yield* build(Letters.layerBatched({
        concurrency: 1,
        batchSize: 2,
        processAll: (letters) => Effect.zipRight(Effect.sleep("3 seconds"), note(letters.map(({ id }) => id).join(" ")))
      }))
      yield* Effect.zipRight(offer("a", "b", "c"), running(2)).pipe(Effect.provide(context))
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, ["3s a b"])
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 2, handedBack: 0, cut: 0 }
      ])
      assert.deepStrictEqual(yield* waiting((name) => Effect.scoped(open(name))), ["c#1"])
    }))

  it.scoped("hands a batch back whole, in one statement and with attempts kept, when its time is over", () =>
    Effect.gen(function*() {
      const calls: Array<string> = []
      const { lines, onEvent } = makeJournal()
      const { build, open, reports } = yield* makeWorld({ durable: true, wrap: counted(calls) })
      const { context, stop } = yield* build(Letters.layerBatched({
        concurrency: 1,
        batchSize: 3,
        drainTimeout: "2 seconds",
        onEvent,
        processAll: (letters, batch) => batch.complete(letters, () => Effect.never)
      }))
      yield* Effect.zipRight(offer("a", "b", "c"), running(3)).pipe(Effect.provide(context))
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(calls, ["a b c"])
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Interrupted", finished: 0, handedBack: 3, cut: 0 }
      ])
      assert.deepStrictEqual(lines.slice(5), [
        "2s Interrupted a#1",
        "2s Interrupted b#1",
        "2s Interrupted c#1",
        "2s HandedBack a#1",
        "2s HandedBack b#1",
        "2s HandedBack c#1",
        "2s Closed"
      ])
      assert.deepStrictEqual(yield* waiting((name) => Effect.scoped(open(name))), ["a#1", "b#1", "c#1"])
    }))

  it.scoped("hands a batch back whole that stops by its signal", () =>
    Effect.gen(function*() {
      const calls: Array<string> = []
      const { build, open, reports } = yield* makeWorld({ durable: true, wrap: counted(calls) })
      const { context, stop } = yield* build(Letters.layerBatched({
        concurrency: 1,
        batchSize: 3,
        processAll: (_, { signal }) =>
          Effect.async<never, unknown>((resume) => {
            signal.addEventListener("abort", () => resume(Effect.fail(signal.reason)))
          })
      }))
      yield* Effect.zipRight(offer("a", "b"), running(2)).pipe(Effect.provide(context))
      yield* stop
      assert.deepStrictEqual(calls, ["a b"])
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 0, handedBack: 2, cut: 0 }
      ])
      assert.deepStrictEqual(yield* waiting((name) => Effect.scoped(open(name))), ["a#1", "b#1"])
    }))

  it.scoped("hands back the jobs of a failed batch that have not run alone yet", () =>
    Effect.gen(function*() {
      const calls: Array<string> = []
      const { build, entries, note, open, reports } = yield* makeWorld({ durable: true, wrap: counted(calls) })
      const { context, stop } = yield* build(Letters.layerBatched({
        concurrency: 1,
        batchSize: 3,
        retry: Schedule.recurs(0),
        processAll: (letters) =>
          letters.length > 1 ? Effect.fail("no") : Effect.zipRight(Effect.sleep("1 second"), note(letters[0].id))
      }))
      yield* Effect.zipRight(offer("a", "b", "c"), running(3)).pipe(Effect.provide(context))
      yield* until("the batch has failed", Effect.sync(() => entries.length), () => true)
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual([entries, calls], [["1s a"], ["b c"]])
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 1, handedBack: 2, cut: 0 }
      ])
      assert.deepStrictEqual(yield* waiting((name) => Effect.scoped(open(name))), ["b#1", "c#1"])
    }))

  it.scoped("abandons a batch that ignores its interruption, and gives all of its jobs to others", () =>
    Effect.gen(function*() {
      const calls: Array<string> = []
      const { build, open, reports } = yield* makeWorld({ durable: true, wrap: counted(calls) })
      const { context, stop } = yield* build(Letters.layerBatched({
        concurrency: 1,
        batchSize: 3,
        drainTimeout: "2 seconds",
        processAll: () => Effect.uninterruptible(Effect.never)
      }))
      yield* Effect.zipRight(offer("a", "b"), running(2)).pipe(Effect.provide(context))
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("30 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(calls, ["a b"])
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Abandoned", finished: 0, handedBack: 0, cut: 2 }
      ])
      assert.deepStrictEqual(yield* waiting((name) => Effect.scoped(open(name))), ["a#1", "b#1"])
    }))

  it.scoped("empties a queue in memory in batches, without waiting to fill them", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld()
      const { context, stop } = yield* build(Letters.layerBatched({
        concurrency: 1,
        batchSize: 2,
        batchWait: "1 minute",
        processAll: (letters) => note(letters.map(({ id }) => id).join(" "))
      }))
      yield* offer("a", "b", "c").pipe(Effect.provide(context))
      yield* stop
      assert.deepStrictEqual(entries, ["0s a b", "0s c"])
    }))

  it.scoped("runs a job whose process has died alone, beside the others", () =>
    Effect.gen(function*() {
      const { build, entries, note, open } = yield* makeWorld({ durable: true, lease: "10 seconds" })
      const queue = yield* open("letters")
      yield* queue.offer(["poison"], { ids: ["poison"] })
      yield* queue.claim(1)
      yield* TestClock.adjust("11 seconds")
      yield* queue.offer(["a", "b"], { ids: ["a", "b"] })
      const { context, stop } = yield* build(Letters.layerBatched({
        concurrency: 1,
        batchSize: 9,
        processAll: (letters) => note(letters.map(({ attempt, id }) => `${id}#${attempt}`).join(" "))
      }))
      yield* until("all have run", Effect.map(Letters.status, (_) => _.finished), (n) => n === 3).pipe(
        Effect.provide(context)
      )
      yield* stop
      assert.deepStrictEqual([...entries].sort(), ["11s a#1 b#1", "11s poison#2"])
    }))
})
