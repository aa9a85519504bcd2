import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Schedule, Schema, TestClock } from "effect"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { until } from "../../kit/until.js"
import { makeJournal, makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string, number>({ cursor: Schema.Number }) {}

const running = (count: number) =>
  until(`${count} jobs are in flight`, Effect.map(Letters.status, (_) => _.inFlight), (n) => n === count)
const once = Schedule.recurs(0)

describe("JobContext", () => {
  it.scoped("completes `draining` and aborts `signal` when the pool quiesces", () =>
    Effect.gen(function*() {
      const { build, entries, lifecycle, note } = yield* makeWorld({ durable: true })
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 2,
        process: (letter, { draining, signal }) =>
          letter === "effect"
            ? Effect.zipRight(draining, note("draining completed"))
            : Effect.async<void>((resume) => signal.addEventListener("abort", () => resume(note(`${signal.reason}`))))
      }))
      yield* Letters.offerAll(["effect", "promise"]).pipe(Effect.provide(context))
      yield* running(2).pipe(Effect.provide(context))
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(entries, [])
      yield* lifecycle.transition("LameDuck")
      yield* running(0).pipe(Effect.provide(context))
      yield* stop
      assert.deepStrictEqual(entries.sort(), ["3s Draining: letters is draining", "3s draining completed"])
    }))

  it.scoped("can be spread into another object, which has the same signal", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld({ durable: true })
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 1,
        process: (_, context) => {
          const copy = { ...context, attempt: 7 }
          return Effect.zipRight(note(`attempt ${copy.attempt}, ${copy.signal === context.signal}`), copy.draining)
        }
      }))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* running(1).pipe(Effect.provide(context))
      yield* stop
      assert.deepStrictEqual(entries, ["0s attempt 7, true"])
    }))

  it.scoped("hands back a job that stops because of the drain, with its attempt kept, however it ends", () =>
    Effect.gen(function*() {
      const { lines, onEvent } = makeJournal()
      const { build, lifecycle, reports } = yield* makeWorld({ durable: true })
      const rejected = (signal: AbortSignal, error: () => unknown) =>
        new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(error())))
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 9,
        retry: once,
        onEvent,
        process: (letter, { draining, signal }) => {
          switch (letter) {
            case "interrupts itself":
              return Effect.zipRight(draining, Effect.interrupt)
            case "fails with the reason":
              return Effect.tryPromise({ try: () => rejected(signal, () => signal.reason), catch: (error) => error })
            case "fails with what it caused":
              return Effect.tryPromise(() => rejected(signal, () => new Error("no answer", { cause: signal.reason })))
            case "dies of an AbortError":
              return Effect.promise(() => rejected(signal, () => new DOMException("aborted", "AbortError")))
            default:
              return Effect.flatMap(draining, () => Effect.fail(signal.aborted ? "something else" : "too early"))
          }
        }
      }))
      const ids = [
        "interrupts itself",
        "fails with the reason",
        "fails with what it caused",
        "dies of an AbortError",
        "fails"
      ]
      yield* Letters.offerAll(ids, { ids }).pipe(Effect.provide(context))
      yield* running(5).pipe(Effect.provide(context))
      yield* lifecycle.transition("LameDuck")
      yield* until("twelve events are emitted", Effect.sync(() => lines.length), (n) => n === 12)
      yield* stop
      assert.deepStrictEqual(
        lines.filter((line) => !/Offered|Started/.test(line)).sort(),
        [
          ...ids.slice(0, 4).map((id) => `0s HandedBack ${id}#1`),
          "0s DeadLettered fails#1: Error: something else",
          "0s Quiesced",
          "0s Closed"
        ].sort()
      )
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 1, handedBack: 4, cut: 0 }
      ])
    }))

  it.scoped("over memory, completes `draining` but aborts `signal` only when the job is interrupted", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld()
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 1,
        drainTimeout: "2 seconds",
        process: (_, { draining, signal }) => {
          signal.addEventListener("abort", () => entries.push("aborted"))
          return draining.pipe(
            Effect.zipRight(Effect.suspend(() => note(`draining, ${signal.aborted ? "" : "not "}aborted`))),
            Effect.zipRight(Effect.never)
          )
        }
      }))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* running(1).pipe(Effect.provide(context))
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, ["0s draining, not aborted", "aborted"])
    }))

  it.scoped("makes idempotency keys that are the same in every attempt, and different for each step", () =>
    Effect.gen(function*() {
      const { build, entries } = yield* makeWorld({ durable: true })
      const { context } = yield* build(Letters.layer({
        concurrency: 1,
        process: (_, { attempt, idempotencyKey }) => {
          entries.push(idempotencyKey(), idempotencyKey("charge"))
          return attempt === 1 ? Effect.fail("again") : Effect.void
        }
      }))
      yield* Letters.offer("a", { id: "order-42" }).pipe(Effect.provide(context))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(entries, [
        "letters/order-42",
        "letters/order-42/charge",
        "letters/order-42",
        "letters/order-42/charge"
      ])
    }))
})

describe("A job that ignores its interruption", () => {
  it.scoped.each(
    [
      { releaseTimeout: "1 second", at: "2s" },
      { releaseTimeout: "50 millis", at: "1.05s" },
      { releaseTimeout: "0 millis", at: "1s" }
    ] as const
  )("is abandoned: it runs elsewhere at once in the same attempt, and its own writes are refused, $at", ({
    at,
    releaseTimeout
  }) =>
    Effect.gen(function*() {
      const { lines, onEvent } = makeJournal()
      const { build, entries, note, reports } = yield* makeWorld({ durable: true })
      const begun = yield* Deferred.make<void>()
      const uninterruptible = Letters.layer({
        concurrency: 1,
        drainTimeout: "1 second",
        releaseTimeout,
        onEvent,
        process: (_, { complete }) =>
          Deferred.succeed(begun, void 0).pipe(
            Effect.zipRight(Effect.sleep("1 minute")),
            Effect.zipRight(complete(note("written"))),
            Effect.tapErrorTag("LeaseLost", () => note("refused")),
            Effect.uninterruptible
          )
      })
      const first = yield* build(uninterruptible)
      yield* Letters.offer("a", { id: "a" }).pipe(Effect.provide(first.context))
      yield* Deferred.await(begun)
      const stopping = yield* Effect.fork(first.stop)
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(stopping)
      yield* build(
        Letters.layer({
          concurrency: 1,
          process: (_, { attempt, complete }) => complete(note(`elsewhere, attempt ${attempt}`))
        }),
        (yield* makeWorld()).lifecycle.shutdown
      )
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(entries, ["2s elsewhere, attempt 1", "60s refused"])
      assert.deepStrictEqual(lines, [
        "0s Offered a",
        "0s Started a#1",
        "0s Quiesced",
        `${at} Abandoned a#1`,
        `${at} Closed`
      ])
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Abandoned", finished: 0, handedBack: 0, cut: 1 }
      ])
    }))
})
