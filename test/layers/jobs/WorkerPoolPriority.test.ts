import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}

describe("Jobs with priorities", () => {
  it.scoped("run by priority in a drain over memory, too, until the queue is empty", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld()
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 1,
        process: (letter) => Effect.zipRight(Effect.sleep("1 second"), note(letter))
      }))
      yield* Letters.offer("running").pipe(Effect.provide(context))
      yield* TestClock.adjust("500 millis")
      yield* Letters.offerAll(["d", "e"], { priority: 9 }).pipe(Effect.provide(context))
      yield* Letters.offerAll(["b", "c"], { priority: 1 }).pipe(Effect.provide(context))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, ["1s running", "2s a", "3s b", "4s c", "5s d", "6s e"])
    }))

  it.scoped("are handed back with their priority by a drain over a durable source", () =>
    Effect.gen(function*() {
      const { build, open } = yield* makeWorld({ durable: true })
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 1,
        drainTimeout: "1 second",
        process: () => Effect.never
      }))
      yield* Letters.offer("b", { priority: 5 }).pipe(Effect.provide(context))
      yield* TestClock.adjust("1 second")
      yield* Letters.offer("c", { priority: 5 }).pipe(Effect.provide(context))
      yield* Letters.offer("a", { priority: 4 }).pipe(Effect.provide(context))
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(stopping)
      const claims = yield* Effect.flatMap(open("letters"), (_) => _.claim(9))
      assert.deepStrictEqual(claims.map(({ attempt, payload }) => [payload, attempt]), [["a", 1], ["b", 1], ["c", 1]])
    }))

  it.scoped("have a priority from 0 to 9: another one is a defect", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld({ durable: true })
      const { context } = yield* build(Letters.layerClient())
      for (const priority of [-1, 1.5, 10]) {
        const exit = yield* Effect.exit(Effect.provide(Letters.offer("a", { priority }), context))
        assert.match(String(exit), /letters: priority is \S+, and must be an integer from 0 to 9/)
      }
    }))
})
