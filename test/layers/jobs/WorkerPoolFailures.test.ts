import { assert, describe, it } from "@effect/vitest"
import { type Context, Duration, Effect, Logger, LogLevel, Option, Schedule, Schema, TestClock } from "effect"
import { BatchError } from "../../../src/layers/jobs/JobBatch.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { makeWorld } from "./WorkerPoolWorld.js"

class Refused extends Schema.TaggedError<Refused>()("Refused", { at: Schema.Date, code: Schema.BigInt }) {
  override get message() {
    return `code ${this.code}`
  }
}
class Unfit extends Schema.TaggedError<Unfit>()("Unfit", { text: Schema.String }) {}
const Failure = Schema.Union(Refused, Unfit)
type Failure = typeof Failure.Type

class Letters extends WorkerPool.Tag("letters")<Letters, string, never, void, Failure>({
  payload: Schema.NonEmptyString,
  failure: Failure
}) {}
/** The queue of `Letters` as a version of its process has it that keeps no failures. */
class Before extends WorkerPool.Tag("letters")<Before, string>({ payload: Schema.String }) {}
/** As one that has another schema has it. */
class After extends WorkerPool.Tag("letters")<After, string, never, void, string>({ failure: Schema.String }) {}

const refused = new Refused({ at: new Date(7), code: 550n })
const stored = { _tag: "Refused", at: "1970-01-01T00:00:00.007Z", code: "550" }

/** How each job ends: by its payload. */
const process = (letter: string): Effect.Effect<void, Failure> => {
  switch (letter) {
    case "refused":
      return Effect.withSpan(refused, "send")
    case "unfit":
      return new Unfit({ text: "\u0000" })
    case "wrong":
      return Effect.fail(Object.assign(new Unfit({ text: "" }), { text: 7 }) as Unfit)
    case "dies":
      return Effect.die(refused)
    default:
      return Effect.void
  }
}

const once = Schedule.recurs(0)

/** The dead letters of a pool, by their ids, with the name of their error. */
const failuresOf = <Self, F>(
  pool: Effect.Effect<WorkerPool.Service<never, unknown, F>, never, Self>,
  context: Context.Context<Self>
) =>
  Effect.gen(function*() {
    const { deadLetters } = yield* pool
    const letters = yield* deadLetters.list(99)
    const one = yield* Effect.forEach(letters, ({ id }) => deadLetters.get(id))
    assert.deepStrictEqual(one.map(Option.getOrThrow), letters)
    return Object.fromEntries(letters.map(({ error, failure, id }) => [id, [error.split(":")[0], failure]]))
  }).pipe(Effect.provide(context))

const offer = (context: Context.Context<Letters>, ...ids: ReadonlyArray<string>) =>
  Effect.provide(Letters.offerAll(ids, { ids }), context)

/** The messages of the warnings that an effect logs. */
const warningsOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const warnings: Array<string> = []
    const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
      if (logLevel === LogLevel.Warning) warnings.push(String(Array.isArray(message) ? message[0] : message))
    })
    return Effect.map(Effect.provide(effect, Logger.replace(Logger.defaultLogger, logger)), (value) => ({
      value,
      warnings
    }))
  })

describe("What a job has failed with", () => {
  it.scoped("is kept with its dead letter, encoded, and is none for a defect and for an error that does not encode", () =>
    Effect.gen(function*() {
      const { build, open } = yield* makeWorld({ durable: true })
      const { warnings } = yield* warningsOf(Effect.gen(function*() {
        const { context } = yield* build(Letters.layer({ concurrency: 1, retry: once, process }))
        yield* offer(context, "refused", "unfit", "wrong", "dies")
        yield* TestClock.adjust("1 second")
      }))
      const client = yield* build(Letters.layerClient())
      const none = Option.none()
      assert.deepStrictEqual(yield* failuresOf(Letters, client.context), {
        refused: ["Refused", Option.some(refused)],
        unfit: ["Unfit", none],
        wrong: ["Unfit", none],
        dies: ["Refused", none]
      })
      const kept = Effect.flatMap(open("letters"), ({ find }) => find("refused"))
      assert.deepStrictEqual(Option.flatMap(yield* kept, ({ failure }) => failure), Option.some(stored))
      const lost = "the error of the job is kept as text alone: the schema `failure` does not encode it"
      assert.deepStrictEqual(warnings, [lost, lost])
    }))

  it.scoped("is what a caller that awaits the job can match", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld({ durable: true })
      yield* build(Letters.layer({ concurrency: 2, retry: once, process }))
      const { context } = yield* build(Letters.layerClient())
      const codeOf = (letter: string) =>
        Effect.catchTag(
          Letters.offerAndWait(letter, { id: letter }),
          "JobDeadLettered",
          ({ failure }) =>
            Effect.succeed(Option.match(failure, {
              onNone: () => "none",
              onSome: (error) => error._tag === "Refused" ? error.code : error.text
            }))
        )
      const again = Effect.flip(Letters.awaitResult("refused"))
      assert.deepStrictEqual(
        yield* Effect.provide(Effect.all([codeOf("refused"), codeOf("dies"), Effect.map(again, String)]), context),
        [550n, "none", "JobDeadLettered: letters: job refused is a dead letter: Refused: code 550"]
      )
    }))

  it.scoped("is that of the last attempt: none if an earlier one has failed so, and the last one for another reason", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld()
      const { context } = yield* build(Letters.layer({
        concurrency: 1,
        retry: Schedule.recurs(1),
        process: (letter, { attempt }) => process(letter === "first" ? ["refused", "dies"][attempt - 1]! : letter)
      }))
      yield* offer(context, "first", "refused")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* failuresOf(Letters, context), {
        first: ["Refused", Option.none()],
        refused: ["Refused", Option.some(refused)]
      })
    }))

  it.scoped("is none for a payload that does not decode, and for a process without the schema", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld({ durable: true })
      const before = yield* build(Before.layer({ concurrency: 1, retry: once, process: () => refused }))
      yield* Effect.provide(Before.offer("a", { id: "before" }), before.context)
      yield* TestClock.adjust("1 second")
      yield* before.stop
      const now = yield* build(Letters.layer({ concurrency: 1, retry: once, process }))
      const client = yield* build(Before.layerClient())
      yield* Effect.provide(Before.offer("", { id: "empty" }), client.context)
      yield* offer(now.context, "refused")
      yield* TestClock.adjust("1 second")
      const none = Option.none()
      const { before: first, empty, refused: last } = yield* failuresOf(Letters, now.context)
      assert.deepStrictEqual([first, empty?.[1], last?.[1]], [["Refused", none], none, Option.some(refused)])
      // A pool without the schema reads none.
      assert.deepStrictEqual((yield* failuresOf(Before, client.context))["refused"], ["Refused", none])
    }))

  it.scoped("is none where it does not decode, and hides no dead letter", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld({ durable: true })
      const { context } = yield* build(Letters.layer({ concurrency: 1, retry: once, process }))
      const after = yield* build(After.layerClient())
      yield* offer(context, "refused", "dies")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* failuresOf(After, after.context), {
        refused: ["Refused", Option.none()],
        dies: ["Refused", Option.none()]
      })
      const { error, failure } = yield* Effect.provide(
        Effect.filterOrFail(Effect.flip(After.awaitResult("refused")), (error) => error._tag === "JobDeadLettered"),
        after.context
      )
      assert.deepStrictEqual([error, failure], ["Refused: code 550", Option.none()])
    }))

  it.scoped("is that of each job of a batch: the one that a BatchError names, or the failure of the whole", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld()
      const { context } = yield* build(Letters.layerBatched({
        concurrency: 1,
        batchSize: 9,
        batchWait: Duration.millis(1),
        retry: once,
        processAll: (letters) =>
          Effect.gen(function*() {
            if (letters.some(({ payload }) => payload === "whole")) return yield* refused
            return yield* new BatchError({
              failures: letters.filter(({ payload }) => payload !== "good").map(({ id }) => ({ id, error: refused }))
            })
          })
      }))
      yield* offer(context, "named", "good", "whole")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* failuresOf(Letters, context), {
        named: ["Refused", Option.some(refused)],
        whole: ["Refused", Option.some(refused)]
      })
    }))

  it.scoped("is forgotten when its dead letter is redriven, by its text as well", () =>
    Effect.gen(function*() {
      const { build, open } = yield* makeWorld({ durable: true })
      const { context, stop } = yield* build(Letters.layer({ concurrency: 1, retry: once, process }))
      yield* offer(context, "refused")
      yield* TestClock.adjust("1 second")
      yield* stop
      const client = yield* build(Letters.layerClient())
      const redrive = Effect.flatMap(Letters, (pool) => pool.redriveMatching({ error: "Refused" }))
      assert.strictEqual(yield* Effect.provide(redrive, client.context), 1)
      const job = Option.getOrThrow(yield* Effect.flatMap(open("letters"), ({ find }) => find("refused")))
      assert.deepStrictEqual([job.state, job.failure], ["Waiting", Option.none()])
    }))
})
