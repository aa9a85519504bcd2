import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule, TestClock } from "effect"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}

const rateLimit = { limit: 3, interval: "10 seconds" } as const
const offer = (...letters: ReadonlyArray<string>) => Letters.offerAll(letters, { ids: letters })

describe("A pool that runs batches, with a rate limit", () => {
  it.scoped("begins no more jobs than that in any time of this length, in batches of what may begin", () =>
    Effect.gen(function*() {
      const { entries, note, scoped } = yield* makeWorld({ durable: true })
      const context = yield* scoped(Letters.layerBatched({
        concurrency: 2,
        batchSize: 2,
        batchWait: "1 second",
        rateLimit,
        processAll: (letters) => note(letters.map(({ id }) => id).join(" "))
      }))
      yield* Effect.provide(offer("a", "b", "c", "d", "e", "f", "g", "h"), context)
      yield* TestClock.adjust("1 minute")
      // A queue that the limit leaves full is not found empty: no batch waits for more jobs.
      assert.deepStrictEqual(entries, ["0s a b", "0s c", "10s d e", "10s f", "20s g h"])
    }))

  it.scoped("claims only what may begin: a drain leaves the others in the queue", () =>
    Effect.gen(function*() {
      const { build, entries, note, open, reports } = yield* makeWorld({ durable: true })
      const { context, stop } = yield* build(Letters.layerBatched({
        concurrency: 1,
        batchSize: 9,
        rateLimit,
        processAll: (letters) => Effect.zipRight(Effect.sleep("3 seconds"), note(letters.map(({ id }) => id).join(" ")))
      }))
      yield* Effect.provide(offer("a", "b", "c", "d", "e"), context)
      yield* TestClock.adjust("2 seconds")
      const { depth } = yield* open("letters")
      assert.strictEqual((yield* depth).jobs.Waiting.count, 2)
      const stopped = yield* Effect.fork(stop)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(stopped)
      assert.deepStrictEqual(entries, ["3s a b c"])
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 3, handedBack: 0, cut: 0 }
      ])
    }))

  it.scoped("counts a job of a failed batch that runs once more alone as one, and its retry as another", () =>
    Effect.gen(function*() {
      const { entries, note, scoped } = yield* makeWorld({ durable: true })
      const context = yield* scoped(Letters.layerBatched({
        concurrency: 1,
        batchSize: 2,
        rateLimit,
        retry: Schedule.spaced("1 second"),
        processAll: (letters) =>
          Effect.zipRight(
            note(letters.map(({ attempt, id }) => `${id}#${attempt}`).join(" ")),
            letters.some(({ attempt, id }) => id === "a" && attempt === 1) ? Effect.fail("bad luck") : Effect.void
          )
      }))
      yield* Effect.provide(offer("a", "b"), context)
      yield* TestClock.adjust("2 seconds")
      yield* Effect.provide(offer("c"), context)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(entries, ["0s a#1 b#1", "0s a#1", "0s b#1", "1s a#2", "10s c#1"])
    }))
})
