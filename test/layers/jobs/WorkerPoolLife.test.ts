import { assert, describe, it } from "@effect/vitest"
import { Data, Deferred, Effect, Fiber, Option, Schedule, Schema, TestClock } from "effect"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { until } from "../../kit/until.js"
import { makeJournal, makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string, number>({ cursor: Schema.Number }) {}
class Refused extends Data.TaggedError("Refused")<{ readonly by: string }> {}

const running = (count: number) =>
  until(`${count} jobs are in flight`, Effect.map(Letters.status, (_) => _.inFlight), (n) => n === count)
const once = Schedule.recurs(0)

describe("a job learns that its pool is draining", () => {
  it.scoped("before its time is over: its effect completes, and its signal is aborted", () =>
    Effect.gen(function*() {
      const { build, entries, lifecycle, note } = yield* makeWorld({ durable: true })
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 2,
        process: (letter, { draining, signal }) =>
          letter === "effect"
            ? Effect.zipRight(draining, note("effect heard"))
            : Effect.async<void>((resume) => signal.addEventListener("abort", () => resume(note(`${signal.reason}`))))
      }))
      yield* Letters.offerAll(["effect", "promise"]).pipe(Effect.provide(context))
      yield* running(2).pipe(Effect.provide(context))
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(entries, [])
      yield* lifecycle.transition("LameDuck")
      yield* running(0).pipe(Effect.provide(context))
      yield* stop
      assert.deepStrictEqual(entries.sort(), ["3s Draining: letters is draining", "3s effect heard"])
    }))

  it.scoped("and loses no attempt when it stops because of that, however it says so", () =>
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

  it.scoped("over memory, where nobody takes it back, only its effect: the signal waits for its time to be over", () =>
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
})

describe("a job that ignores its interruption", () => {
  it.scoped.each(
    [
      { releaseTimeout: "1 second", at: "2s" },
      { releaseTimeout: "50 millis", at: "1.05s" },
      { releaseTimeout: "0 millis", at: "1s" }
    ] as const
  )("is abandoned, runs elsewhere at once in the same attempt, and what it still writes is refused: $at", ({
    at,
    releaseTimeout
  }) =>
    Effect.gen(function*() {
      const { lines, onEvent } = makeJournal()
      const { build, entries, note, reports } = yield* makeWorld({ durable: true })
      const begun = yield* Deferred.make<void>()
      const deaf = Letters.layer({
        concurrency: 1,
        drainTimeout: "1 second",
        releaseTimeout,
        onEvent,
        process: (_, { complete }) =>
          Deferred.succeed(begun, void 0).pipe(
            Effect.zipRight(Effect.sleep("1 minute")),
            Effect.zipRight(complete(note("late"))),
            Effect.tapErrorTag("LeaseLost", () => note("refused")),
            Effect.uninterruptible
          )
      })
      const first = yield* build(deaf)
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

describe("a failure that is permanent", () => {
  it.scoped("goes straight to the dead letters, whatever the schedule allows", () =>
    Effect.gen(function*() {
      const { lines, onEvent } = makeJournal()
      const { build } = yield* makeWorld({ durable: true })
      const { context } = yield* build(Letters.layer({
        concurrency: 1,
        onEvent,
        process: (letter, { attempt }) => Effect.fail(new Refused({ by: attempt < 2 ? "the weather" : letter })),
        permanent: (error) => error.by === "the recipient"
      }))
      yield* Letters.offer("the recipient", { id: "a" }).pipe(Effect.provide(context))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(lines.map((line) => line.replace(/^\S+ |:.*$/gs, "")), [
        "Offered a",
        "Started a#1",
        "Retried a#1",
        "Started a#2",
        "DeadLettered a#2"
      ])
    }))
})

describe("a cursor that does not decode any more", () => {
  it.scoped("costs nobody the job: it says what is stored and what to do, and goes on after that was done", () =>
    Effect.gen(function*() {
      class Named extends WorkerPool.Tag("letters")<Named, string, { readonly page: number }>({
        cursor: Schema.Struct({ page: Schema.Number })
      }) {}
      const { build, entries, note, open } = yield* makeWorld({ durable: true })
      const queue = yield* open("letters")
      yield* queue.offer(["a", "b"], { ids: ["one", "two"] })
      for (const claim of yield* queue.claim(2)) {
        yield* queue.transact(claim, Effect.void, { _tag: "Checkpoint", cursor: 41, handBack: true })
      }
      const changed = yield* build(Named.layer({ concurrency: 2, process: () => note("never") }))
      yield* until(
        "two jobs are dead letters",
        Effect.map(queue.deadLetters.list(9), (letters) => letters.length),
        (n) => n === 2
      )
      const [dead] = yield* queue.deadLetters.list(9)
      assert.strictEqual(
        dead!.error,
        [
          "letters: job one was not run, because its stored cursor does not decode. Stored is 41. " +
          "Expected { readonly page: number }, actual 41",
          "It is kept among the dead letters: deploy a schema that decodes it as well, then redrive it, or redrive it " +
          "from the start."
        ].join("\n")
      )
      yield* changed.stop
      yield* queue.deadLetters.redrive(["one"])
      yield* queue.deadLetters.redrive(["two"], { fromStart: true })
      yield* build(
        Letters.layer({
          concurrency: 1,
          process: (letter, { attempt, cursor }) =>
            note(`${letter}, attempt ${attempt}, from ${Option.getOrElse(cursor, () => 0)}`)
        }),
        (yield* makeWorld()).lifecycle.shutdown
      )
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(entries, ["0s a, attempt 1, from 41", "0s b, attempt 1, from 0"])
    }))
})
