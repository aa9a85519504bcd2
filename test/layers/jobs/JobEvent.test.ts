import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Metric, MetricState, Option, Schedule, Schema, TestClock } from "effect"
import { JobSourceError } from "../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { until } from "../../kit/until.js"
import { makeJournal, makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string, number>({ cursor: Schema.Number }) {}

const running = (count: number) =>
  until(`${count} jobs are in flight`, Effect.map(Letters.status, (_) => _.inFlight), (n) => n === count)

describe("The events of a pool", () => {
  class Counted extends WorkerPool.Tag("counted")<Counted, string>() {}

  it.scoped("records starts, ends, retries, dead letters, hand-backs and the end of the pool, in order", () =>
    Effect.gen(function*() {
      const { lines, onEvent } = makeJournal()
      const { build, lifecycle, open } = yield* makeWorld({ durable: true })
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 2,
        drainTimeout: "2 seconds",
        onEvent,
        retry: Schedule.spaced("1 second").pipe(Schedule.intersect(Schedule.recurs(1))),
        process: (letter, { attempt, checkpoint, complete }): Effect.Effect<unknown, unknown> => {
          switch (letter) {
            case "quick":
              return Effect.void
            case "written":
              return complete(Effect.void)
            case "fails once":
              return attempt === 1 ? Effect.fail("bad luck") : Effect.void
            case "fails":
              return Effect.fail("bad luck")
            case "counts":
              return Effect.repeatN(Effect.zipRight(Effect.sleep("1 second"), checkpoint(7, Effect.void)), 99)
            default:
              return Effect.never
          }
        }
      }))
      const ids = ["quick", "written", "fails once", "fails", "counts", "endless", "not taken"]
      yield* Letters.offerAll(ids, { ids }).pipe(Effect.provide(context))
      yield* TestClock.adjust("1500 millis")
      yield* lifecycle.transition("LameDuck")
      yield* TestClock.adjust("1 second")
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(lines, [
        "0s Offered quick written fails once fails counts endless not taken",
        "0s Started quick#1",
        "0s Succeeded quick#1",
        "0s Started written#1",
        "0s Succeeded written#1",
        "0s Started fails once#1",
        "0s Retried fails once#1: Error: bad luck",
        "0s Started fails#1",
        "0s Retried fails#1: Error: bad luck",
        "0s Started counts#1",
        "0s Started endless#1",
        "1s Checkpointed counts#1: 7",
        "1.5s Quiesced",
        "2s Checkpointed counts#1: 7",
        "2s HandedBack counts#1",
        "4.5s Interrupted endless#1",
        "4.5s HandedBack endless#1",
        "4.5s Closed"
      ])
      const left = yield* Effect.flatMap(open("letters"), (_) => _.claim(9))
      assert.deepStrictEqual(left.map(({ attempt, id }) => `${id}#${attempt}`), [
        "fails once#2",
        "fails#2",
        "counts#1",
        "endless#1",
        "not taken#1"
      ])
    }))

  it.scoped("records that the source is unavailable, and `/readyz` shows it without the error", () =>
    Effect.gen(function*() {
      const { lines, onEvent } = makeJournal()
      const unavailable = new JobSourceError({
        operation: "claim",
        queue: "letters",
        cause: new Error("no route to 10.0.0.7")
      })
      let down = true
      const { build, lifecycle } = yield* makeWorld({
        durable: true,
        wrap: (queue) => ({
          ...queue,
          claim: (limit) => down ? unavailable : queue.claim(limit),
          renew: (claims) => down ? unavailable : queue.renew(claims)
        })
      })
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 1,
        onEvent,
        process: () => Effect.sleep("1 minute")
      }))
      const { conditions } = lifecycle.shutdown
      yield* until("the pool waits for its source", Effect.map(conditions, (_) => _["letters"] === "WaitingForSource"))
      yield* Letters.offer("a", { id: "a" }).pipe(Effect.provide(context))
      down = false
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* conditions, {})
      down = true
      yield* TestClock.adjust("8 seconds")
      assert.deepStrictEqual(yield* conditions, { letters: "WaitingForSource" })
      down = false
      yield* TestClock.adjust("1 minute")
      yield* stop
      assert.deepStrictEqual(lines.map((line) => line.replace(/^\S+ /, "")), [
        "SourceUnavailable: letters: claim failed: no route to 10.0.0.7",
        "Offered a",
        "SourceAvailable",
        "Started a#1",
        "SourceUnavailable: letters: claim failed: no route to 10.0.0.7",
        "SourceAvailable",
        "Succeeded a#1",
        "Quiesced",
        "Closed"
      ])
    }))

  it.scoped("are counted by the metrics, those of jobs that do not run included", () =>
    Effect.gen(function*() {
      const { lines, onEvent } = makeJournal()
      const { build } = yield* makeWorld({ durable: true })
      const { context } = yield* build(Counted.layer({
        concurrency: 1,
        onEvent,
        permanent: () => true,
        process: (_, { attempt }) => Effect.delay(Effect.fail(`bad luck ${attempt}`), "3 seconds")
      }))
      yield* Effect.gen(function*() {
        const { deadLetters } = yield* Counted
        yield* Counted.offerAll([])
        yield* Counted.offerAll(["a", "b"], { ids: ["a", "b"] })
        yield* TestClock.adjust("6 seconds")
        assert.strictEqual(yield* deadLetters.redrive(["a", "c"]), 1)
        yield* TestClock.adjust("3 seconds")
        assert.strictEqual(yield* deadLetters.discard(["a", "b"]), 2)
        assert.strictEqual(yield* deadLetters.discard(["a", "b"]), 0)
      }).pipe(Effect.provide(context))
      assert.deepStrictEqual(lines, [
        "0s Offered a b",
        "0s Started a#1",
        "3s DeadLettered a#1: Error: bad luck 1",
        "3s Started b#1",
        "6s DeadLettered b#1: Error: bad luck 1",
        "6s Redriven a c",
        "6s Started a#1",
        "9s DeadLettered a#1: Error: bad luck 1",
        "9s Discarded a b"
      ])

      const metrics = Metric.unsafeSnapshot().filter(({ metricKey }) =>
        metricKey.tags.some(({ value }) => value === "counted")
      )
      const counts = metrics.flatMap(({ metricKey, metricState }) =>
        MetricState.isCounterState(metricState)
          ? [[metricKey.tags.find(({ key }) => key === "event")?.value, metricState.count] as const]
          : []
      )
      assert.deepStrictEqual(Object.fromEntries(counts), {
        Offered: 2,
        Started: 3,
        DeadLettered: 3,
        Redriven: 1,
        Discarded: 2
      })
      const runs = metrics.flatMap(({ metricState }) => MetricState.isHistogramState(metricState) ? [metricState] : [])
      assert.deepStrictEqual(runs.map(({ count, sum }) => [count, sum]), [[3, 9_000]])
    }))

  it.scoped("logs a failure of onEvent, which has no other effect", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld()
      const { context } = yield* build(Letters.layer({
        concurrency: 1,
        onEvent: () => Effect.dieMessage("a bug of onEvent"),
        process: (letter) => note(letter)
      }))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* TestClock.adjust(Duration.seconds(1))
      assert.deepStrictEqual(entries, ["0s a"])
      assert.strictEqual((yield* Effect.provide(Letters.status, context)).finished, 1)
    }))
})

describe("WorkerPool", () => {
  it.scoped("lists the jobs that run with their cursors, and finds jobs in the queue", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld()
      const { context } = yield* build(Letters.layer({
        concurrency: 1,
        process: (_, { checkpoint }) => Effect.zipRight(checkpoint(7, Effect.void), Effect.never)
      }))
      yield* Effect.gen(function*() {
        const pool = yield* Letters
        yield* Letters.offerAll(["a", "b"], { ids: ["one", "two"] })
        yield* running(1)
        yield* until("a cursor is written", Effect.map(pool.running, ([job]) => Option.isSome(job!.cursor)))
        assert.deepStrictEqual(
          (yield* pool.running).map(({ attempt, cursor, id, startedAt }) => [
            id,
            attempt,
            cursor,
            startedAt.epochMillis
          ]),
          [["one", 1, Option.some(7), 0]]
        )
        const state = (id: string) => Effect.map(pool.find(id), Option.map((_) => _.state))
        assert.deepStrictEqual([yield* state("one"), yield* state("two"), yield* state("three")], [
          Option.some("Running"),
          Option.some("Waiting"),
          Option.none()
        ])
      }).pipe(Effect.provide(context))
    }))
})
