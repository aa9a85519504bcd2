import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Metric, MetricState, TestClock } from "effect"
import { JobSourceError } from "../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { until } from "../../kit/until.js"
import { makeJournal, makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}

const condition = (expected: string) =>
  until(`the pool is ${expected}`, Effect.map(Letters.status, (_) => _.condition), (now) => now === expected)

/** The metric of the pools of this name. */
const gauge = (pool: string) =>
  Effect.map(
    Metric.snapshot,
    (pairs) =>
      pairs.flatMap(({ metricKey: { name, tags }, metricState }) =>
        name === "lastcall_pool_paused" && tags.some(({ value }) => value === pool) &&
          MetricState.isGaugeState(metricState)
          ? [metricState.value]
          : []
      )
  )

/** A pool over a durable source, whose jobs take ten seconds, or as many as they say. */
const makePool = (options: Parameters<typeof makeWorld>[0] = {}) =>
  Effect.gen(function*() {
    const world = yield* makeWorld({ durable: true, lease: "1 minute", ...options })
    const journal = makeJournal()
    const layer = Letters.layer({
      concurrency: 2,
      onEvent: journal.onEvent,
      process: (letter) => Effect.zipRight(Effect.sleep(`${Number.parseInt(letter) || 10} seconds`), world.note(letter))
    })
    return { ...world, journal, layer }
  })

describe("A pool that is paused", () => {
  it.scoped("begins no job and finishes those that run, until it is resumed", () =>
    Effect.gen(function*() {
      const { build, entries, journal, layer, lifecycle } = yield* makePool()
      const { context } = yield* build(layer)
      yield* Effect.gen(function*() {
        yield* Letters.offerAll(["a", "11", "c"], { ids: ["a", "b", "c"] })
        yield* TestClock.adjust("5 seconds")
        yield* Letters.pause("Process")
        yield* Letters.pause("Process")
        assert.deepStrictEqual(yield* Letters.status, {
          condition: "Paused",
          concurrency: 2,
          paused: ["Process"],
          inFlight: 2,
          finished: 0,
          handedBack: 0,
          cut: 0
        })
        assert.deepStrictEqual(yield* lifecycle.shutdown.conditions, { letters: "Paused" })
        assert.deepStrictEqual(yield* gauge("letters"), [1])
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(entries, ["10s a", "11s 11"])
        yield* Letters.resume("Process")
        assert.deepStrictEqual(yield* lifecycle.shutdown.conditions, {})
        assert.deepStrictEqual(yield* gauge("letters"), [0])
        yield* TestClock.adjust("10 seconds")
      }).pipe(Effect.provide(context))
      assert.deepStrictEqual(journal.lines, [
        "0s Offered a b c",
        "0s Started a#1",
        "0s Started b#1",
        "5s Paused",
        "10s Succeeded a#1",
        "11s Succeeded b#1",
        "3605s Resumed",
        "3605s Started c#1",
        "3615s Succeeded c#1"
      ])
    }))

  it.scoped("hands back a job that it was claiming when it was paused", () =>
    Effect.gen(function*() {
      const claiming = yield* Deferred.make<void>()
      const claimed = yield* Deferred.make<void>()
      const { build, journal, layer } = yield* makePool({
        wrap: (queue) => ({
          ...queue,
          claim: (...args) =>
            Effect.tap(queue.claim(...args), (claims) =>
              claims.length === 0
                ? Effect.void
                : Effect.zipRight(Deferred.succeed(claiming, void 0), Deferred.await(claimed)))
        })
      })
      const { context } = yield* build(layer)
      yield* Effect.gen(function*() {
        yield* Letters.offer("a", { id: "a" })
        yield* Deferred.await(claiming)
        yield* Letters.pause("Process")
        yield* Deferred.succeed(claimed, void 0)
        yield* TestClock.adjust("1 minute")
        yield* Letters.resume("Process")
        yield* TestClock.adjust("10 seconds")
      }).pipe(Effect.provide(context))
      assert.deepStrictEqual(journal.lines, [
        "0s Offered a",
        "0s Paused",
        "0s HandedBack a#1",
        "60s Resumed",
        "60s Started a#1",
        "70s Succeeded a#1"
      ])
    }))

  it.scoped("is so in every process when its queue is, also in one that starts later, and says which pause it is", () =>
    Effect.gen(function*() {
      const { build, entries, journal, layer } = yield* makePool()
      const one = yield* build(layer)
      yield* Effect.provide(Letters.pause("Queue"), one.context)
      const other = yield* build(layer)
      const inBoth = <A, E>(effect: Effect.Effect<A, E, Letters>) =>
        Effect.all([Effect.provide(effect, one.context), Effect.provide(effect, other.context)])
      yield* inBoth(condition("Paused"))
      yield* inBoth(Letters.offer("a"))
      yield* Effect.provide(Letters.pause("Process"), other.context)
      assert.deepStrictEqual((yield* inBoth(Letters.status)).map((_) => _.paused), [["Queue"], ["Queue", "Process"]])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(entries, [])
      yield* Effect.provide(Letters.resume("Queue"), other.context)
      yield* Effect.provide(condition("Running"), one.context)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(entries, ["70s a", "70s a"])
      assert.strictEqual((yield* Effect.provide(Letters.status, other.context)).condition, "Paused")
      assert.deepStrictEqual(journal.lines.filter((line) => /Paused|Resumed/.test(line)), [
        "0s Paused",
        "0s Paused",
        "0s Paused",
        "60s Resumed",
        "60s Resumed"
      ])
    }))

  it.scoped("is paused by a process that has no workers, too", () =>
    Effect.gen(function*() {
      const { build, layer } = yield* makePool()
      const client = yield* build(Letters.layerClient())
      const { context } = yield* build(layer)
      yield* Effect.provide(Letters.pause("Queue"), client.context)
      yield* Effect.provide(condition("Paused"), context)
      assert.deepStrictEqual((yield* Effect.provide(Letters.status, client.context)).paused, ["Queue"])
      yield* Effect.provide(Letters.resume("Queue"), client.context)
      yield* Effect.provide(condition("Running"), context)
    }))

  it.scoped("is not, when the source cannot store it", () =>
    Effect.gen(function*() {
      const error = new JobSourceError({ operation: "setPaused", queue: "letters", cause: new Error("refused") })
      const { build, layer } = yield* makePool({ wrap: (queue) => ({ ...queue, setPaused: () => error }) })
      const { context } = yield* build(layer)
      assert.strictEqual(yield* Effect.provide(Effect.flip(Letters.pause("Queue")), context), error)
      assert.deepStrictEqual((yield* Effect.provide(Letters.status, context)).paused, [])
    }))

  it.scoped("drains at once over a durable source: what runs ends, what waits stays in the queue", () =>
    Effect.gen(function*() {
      const { build, entries, layer, open, reports } = yield* makePool()
      const { context, stop } = yield* build(layer)
      yield* Effect.provide(Letters.offerAll(["a", "11", "c"]), context)
      yield* TestClock.adjust("5 seconds")
      yield* Effect.provide(Letters.pause("Queue"), context)
      const stopped = yield* Effect.fork(stop)
      yield* TestClock.adjust("6 seconds")
      yield* Fiber.join(stopped)
      assert.deepStrictEqual(entries, ["10s a", "11s 11"])
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 2, handedBack: 0, cut: 0 }
      ])
      assert.strictEqual(yield* Effect.flatMap(open("letters"), ({ size }) => size), 1)
    }))

  it.scoped("drains at once over memory: what waits is not begun, and the report counts it as cut", () =>
    Effect.gen(function*() {
      const { build, entries, layer, reports } = yield* makePool({ durable: false })
      const first = yield* build(layer)
      yield* Effect.provide(Letters.offerAll(["a", "11", "c"]), first.context)
      yield* Effect.provide(Letters.offer("later", { delay: "1 minute" }), first.context)
      yield* TestClock.adjust("5 seconds")
      const stopped = yield* Effect.fork(first.stop)
      yield* TestClock.adjust("1 second")
      // During the drain.
      yield* Effect.provide(Letters.pause("Process"), first.context)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(stopped)
      assert.deepStrictEqual(entries, ["10s a", "11s 11"])
      assert.deepStrictEqual(yield* reports, [{
        name: "letters",
        outcome: "Interrupted",
        finished: 2,
        handedBack: 0,
        cut: 2
      }])
    }))

  it.scoped("over memory, a drain that waits for a delayed job ends when the pool is paused", () =>
    Effect.gen(function*() {
      const { build, layer, reports } = yield* makePool({ durable: false })
      const { context, stop } = yield* build(layer)
      yield* Effect.provide(Letters.offer("later", { delay: "1 minute" }), context)
      const stopped = yield* Effect.fork(stop)
      yield* TestClock.adjust("1 second")
      yield* Effect.provide(Letters.pause("Queue"), context)
      yield* Fiber.join(stopped)
      assert.deepStrictEqual(yield* reports, [{
        name: "letters",
        outcome: "Interrupted",
        finished: 0,
        handedBack: 0,
        cut: 1
      }])
    }))
})
