import { assert, describe, it } from "@effect/vitest"
import { type Context, Effect, Fiber, Metric, Option, TestClock } from "effect"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { makeJournal, makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string, number>() {}

const service = (context: Context.Context<Letters>) => Effect.provide(Letters, context)

describe("A job that is cancelled", () => {
  it.scoped("is removed when it waits, and interrupted in its process when it runs, and not run again", () =>
    Effect.gen(function*() {
      const { build, entries, note, reports } = yield* makeWorld({ durable: true })
      const [runner, web] = [makeJournal(), makeJournal()]
      const client = yield* Effect.flatMap(
        build(Letters.layerClient({ onEvent: web.onEvent })),
        (_) => service(_.context)
      )
      const { stop } = yield* build(Letters.layer({
        concurrency: 2,
        onEvent: runner.onEvent,
        process: (letter, { signal }) => {
          signal.addEventListener("abort", () => entries.push(`${letter}: ${String(signal.reason.message)}`))
          return Effect.onInterrupt(Effect.sleep("10 seconds"), () => note(`${letter} is interrupted`))
        }
      }))
      const ids = ["a", "b", "c"]
      yield* client.offerAll(ids, { ids })
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* client.cancel(["a", "c", "unknown"]), 2)
      yield* TestClock.adjust("20 seconds")
      yield* stop
      assert.deepStrictEqual(entries, ["a: letters: job a was cancelled", "1s a is interrupted"])
      assert.deepStrictEqual(runner.lines, [
        "0s Started a#1",
        "0s Started b#1",
        "1s RunCancelled a#1",
        "10s Succeeded b#1",
        "21s Quiesced",
        "21s Closed"
      ])
      assert.deepStrictEqual(web.lines, ["0s Offered a b c", "1s Cancelled a c unknown"])
      assert.deepStrictEqual([yield* client.size, yield* client.find("a")], [0, Option.none()])
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 0, handedBack: 0, cut: 0 }
      ])
      const metrics = yield* Metric.snapshot
      // The registry has the pools of other files as well.
      const counted = metrics.filter(({ metricKey }) =>
        metricKey.name === "lastcall_pool_events" &&
        metricKey.tags.some(({ value }) => value === "letters") &&
        metricKey.tags.some(({ value }) => value === "RunCancelled" || value === "Cancelled")
      )
      assert.strictEqual(counted.length, 2)
    }))

  it.scoped("ends a drain that waits for it, and is not handed back", () =>
    Effect.gen(function*() {
      const { build, open, reports } = yield* makeWorld({ durable: true })
      const { lines, onEvent } = makeJournal()
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 2,
        drainTimeout: "20 seconds",
        onEvent,
        process: () => Effect.never
      }))
      const pool = yield* service(context)
      yield* pool.offerAll(["a", "b"], { ids: ["a", "b"] })
      yield* TestClock.adjust("1 second")
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("1 second")
      yield* pool.cancel(["a"])
      yield* TestClock.adjust("1 second")
      yield* Effect.flatMap(open("letters"), (_) => _.cancel(["b"]))
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(lines.slice(3), [
        "1s Quiesced",
        "2s Cancelled a",
        "2s RunCancelled a#1",
        "3s RunCancelled b#1",
        "3s Closed"
      ])
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 2, handedBack: 0, cut: 0 }
      ])
      assert.strictEqual(yield* Effect.flatMap(open("letters"), (_) => _.size), 0)
    }))

  it.scoped("ends a drain over memory that waits until it is due", () =>
    Effect.gen(function*() {
      const { build, reports } = yield* makeWorld()
      const { context, stop } = yield* build(Letters.layer({ concurrency: 1, process: () => Effect.void }))
      const pool = yield* service(context)
      yield* pool.offer("a", { id: "a", delay: "20 seconds" })
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("1 second")
      yield* pool.cancel(["a"])
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 0, handedBack: 0, cut: 0 }
      ])
    }))

  it.scoped("writes nothing afterwards when it ignores its interruption, and is cancelled as well when a write was refused first", () =>
    Effect.gen(function*() {
      const { build, entries, note, open } = yield* makeWorld({ durable: true })
      const { lines, onEvent } = makeJournal()
      const { context } = yield* build(Letters.layer({
        concurrency: 1,
        onEvent,
        process: (_, { complete, id }) =>
          Effect.uninterruptible(
            Effect.gen(function*() {
              yield* Effect.sleep("2 seconds")
              if (id === "b") yield* Effect.flatMap(Effect.scoped(open("letters")), (_) => _.cancel(["b"]))
              const error = yield* Effect.flip(complete(note("written")))
              yield* note(`${id}: ${error._tag}`)
            })
          )
      }))
      const pool = yield* service(context)
      yield* pool.offerAll(["a", "b"], { ids: ["a", "b"] })
      yield* TestClock.adjust("1 second")
      yield* pool.cancel(["a"])
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(entries, ["2s a: LeaseLost", "4s b: LeaseLost"])
      assert.deepStrictEqual(lines.filter((line) => line.includes("Run")), [
        "2s RunCancelled a#1",
        "4s RunCancelled b#1"
      ])
    }))

  it.scoped("is interrupted when its lease would be renewed, if the message is lost", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld({
        durable: true,
        wrap: (queue) => ({ ...queue, onCancel: () => Effect.void })
      })
      const { lines, onEvent } = makeJournal()
      const { context } = yield* build(Letters.layer({
        concurrency: 1,
        onEvent,
        process: () => Effect.onInterrupt(Effect.never, () => note("interrupted"))
      }))
      const pool = yield* service(context)
      yield* pool.offer("a", { id: "a" })
      yield* TestClock.adjust("1 second")
      yield* pool.cancel(["a"])
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(entries, ["5s interrupted"])
      assert.deepStrictEqual(lines.slice(2), ["1s Cancelled a", "5s LeaseLost a#1"])
    }))
})
