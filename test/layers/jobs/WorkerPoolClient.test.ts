import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Schedule, Schema, TestClock } from "effect"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { makeJournal, makeWorld } from "./WorkerPoolWorld.js"

class Numbers extends WorkerPool.Tag("numbers")<Numbers, number>({ payload: Schema.Int }) {}

describe("A pool without workers", () => {
  it.scoped("offers jobs that another process runs, also while that process drains, and has nothing to drain itself", () =>
    Effect.gen(function*() {
      const { build, entries, lifecycle, note, reports } = yield* makeWorld({ durable: true })
      const journal = makeJournal()
      const web = yield* build(Numbers.layerClient({ onEvent: journal.onEvent }))
      const workers = Numbers.layer({
        concurrency: 1,
        process: (n) => Effect.zipRight(Effect.sleep("3 seconds"), note(`${n} done`))
      })
      const first = yield* build(workers)
      const offer = (n: number) => Numbers.offer(n, { id: `job ${n}` }).pipe(Effect.provide(web.context))
      yield* offer(1)
      yield* TestClock.adjust("1 second")
      yield* lifecycle.transition("LameDuck")
      yield* offer(2)
      const stopping = yield* Effect.fork(first.stop)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(stopping)
      yield* offer(3)
      const client = yield* Effect.provide(Numbers, web.context)
      assert.strictEqual(yield* client.size, 2)
      assert.deepStrictEqual(yield* client.running, [])
      assert.deepStrictEqual(yield* client.status, {
        condition: "Client",
        concurrency: 0,
        paused: [],
        inFlight: 0,
        finished: 0,
        handedBack: 0,
        cut: 0
      })
      yield* web.stop
      assert.deepStrictEqual(yield* reports, [
        { name: "numbers", outcome: "Drained", finished: 1, handedBack: 0, cut: 0 }
      ])
      const next = yield* makeWorld()
      yield* build(workers, next.lifecycle.shutdown)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(entries, ["3s 1 done", "9s 2 done", "12s 3 done"])
      assert.deepStrictEqual(journal.lines, ["0s Offered job 1", "1s Offered job 2", "6s Offered job 3"])
    }))

  it.scoped("finds jobs, and redrives and discards dead letters", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld({ durable: true })
      const { context } = yield* build(Numbers.layerClient())
      yield* build(Numbers.layer({ concurrency: 2, retry: Schedule.stop, process: () => Effect.fail("bad luck") }))
      const client = yield* Effect.provide(Numbers, context)
      const ids = ["a", "b"]
      yield* client.offerAll([1, 2], { ids })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(Option.map(yield* client.find("a"), ({ state }) => state), Option.some("Dead" as const))
      assert.deepStrictEqual((yield* client.deadLetters.list(9)).map(({ error, id }) => [id, error]), [
        ["a", "Error: bad luck"],
        ["b", "Error: bad luck"]
      ])
      assert.strictEqual(yield* client.deadLetters.redrive(["a"]), 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* client.deadLetters.discard(ids), 2)
    }))

  it.scoped("refuses a job that does not encode, and a source whose jobs no other process could run", () =>
    Effect.gen(function*() {
      const durable = yield* makeWorld({ durable: true })
      const { context } = yield* durable.build(Numbers.layerClient())
      const refused = yield* Effect.flip(Effect.provide(Numbers.offer(1.5), context))
      assert.match(refused.message, /^numbers: offer failed: .*Expected an integer, actual 1.5/s)
      const memory = yield* makeWorld()
      const error = yield* Effect.flip(memory.build(Numbers.layerClient()))
      assert.match(error.message, /^numbers: open failed: `layerClient` needs a durable source: no other process could/)
    }))
})
