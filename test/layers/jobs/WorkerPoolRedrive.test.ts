import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Ref, TestClock } from "effect"
import { JobSourceError } from "../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, number>() {}

const redriveMatching = (options: WorkerPool.RedriveMatchingOptions) =>
  Effect.flatMap(Letters, (pool) => pool.redriveMatching(options))

/** A pool whose jobs fail for the last time at once, with 600 dead letters. */
const makePool = (options: Parameters<typeof makeWorld>[0] = {}) =>
  Effect.gen(function*() {
    const world = yield* makeWorld({ durable: true, capacity: 2_000, ...options })
    const runs = yield* Ref.make(0)
    const redriven: Array<number> = []
    const pool = yield* world.build(Letters.layer({
      concurrency: 50,
      process: (n) => Effect.zipRight(Ref.update(runs, (runs) => runs + 1), Effect.fail(`error of kind ${n % 2}`)),
      permanent: () => true,
      onEvent: (event) => Effect.sync(() => event._tag === "Redriven" && redriven.push(event.count))
    }))
    yield* Effect.provide(Letters.offerAll(Array.from({ length: 600 }, (_, n) => n)), pool.context)
    yield* TestClock.adjust("1 second")
    return { ...world, ...pool, runs, redriven }
  })

describe("The dead letters of a pool", () => {
  it.scoped("are redriven in batches, each of them once, although they fail again at once", () =>
    Effect.gen(function*() {
      const { context, redriven, runs } = yield* makePool()
      assert.strictEqual(yield* Effect.provide(redriveMatching({}), context), 600)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([redriven, yield* runs], [[500, 100], 1_200])
      assert.strictEqual(yield* Effect.provide(redriveMatching({ error: "kind 1", limit: 70 }), context), 70)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([redriven.at(-1), yield* runs], [70, 1_270])
    }))

  it.scoped("stay what they are, in whole batches, when the source fails meanwhile", () =>
    Effect.gen(function*() {
      let batches = 0
      const error = new JobSourceError({ operation: "deadLetters.redrive", queue: "letters", cause: new Error("away") })
      const { context, redriven } = yield* makePool({
        wrap: (queue) => ({
          ...queue,
          deadLetters: {
            ...queue.deadLetters,
            redrive: (...args) => ++batches === 2 ? error : queue.deadLetters.redrive(...args)
          }
        })
      })
      assert.strictEqual(yield* Effect.provide(Effect.flip(redriveMatching({})), context), error)
      assert.deepStrictEqual(redriven, [500])
    }))

  it.scoped("wait for another process when their pool drains", () =>
    Effect.gen(function*() {
      const { build, open, runs, stop } = yield* makePool()
      const web = yield* build(Letters.layerClient())
      yield* stop
      assert.strictEqual(yield* Effect.provide(redriveMatching({ error: "kind 0" }), web.context), 300)
      assert.deepStrictEqual([yield* Effect.flatMap(open("letters"), ({ size }) => size), yield* runs], [300, 600])
    }))

  it.scoped("are not redriven with a limit of none", () =>
    Effect.gen(function*() {
      const { context } = yield* makePool()
      const exit = yield* Effect.exit(Effect.provide(redriveMatching({ limit: 0 }), context))
      assert.isTrue(Exit.isFailure(exit))
      assert.match(String(exit), /letters: limit is 0, and must be an integer of at least 1, or infinite/)
    }))
})
