import { assert, describe, it } from "@effect/vitest"
import {
  Config,
  ConfigProvider,
  Context,
  Data,
  Effect,
  Fiber,
  Layer,
  Option,
  Schedule,
  Schema,
  TestClock
} from "effect"
import type { DeadLetter } from "../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { until } from "../../kit/until.js"
import { makeJournal, makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string, number>({ cursor: Schema.Number }) {}
class Numbers extends WorkerPool.Tag("numbers")<Numbers, number, number>({
  payload: Schema.Int,
  cursor: Schema.NumberFromString
}) {}
class Refused extends Data.TaggedError("Refused")<{ readonly by: string }> {}

const running = (count: number) =>
  until(`${count} jobs are in flight`, Effect.map(Letters.status, (_) => _.inFlight), (n) => n === count)
/** A dead letter in one line, with its last attempt. */
const toLine = ({ attempt, error, failedAt, id, payload }: DeadLetter) =>
  `${failedAt.epochMillis / 1000}s ${id} ${payload}: ${error} (${attempt})`
const spaced = (retries: number) => Schedule.spaced("1 second").pipe(Schedule.intersect(Schedule.recurs(retries)))

describe("WorkerPool", () => {
  it.scoped("claims the oldest jobs first, at most `concurrency` at a time", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld()
      const { context } = yield* build(Letters.layer({
        concurrency: 2,
        process: (letter) =>
          Effect.zipRight(note(`${letter} begins`), Effect.sleep(letter === "a" ? "1 second" : "2 seconds"))
      }))
      yield* Letters.offerAll(["a", "b", "c"]).pipe(Effect.provide(context))
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(entries, ["0s a begins", "0s b begins", "1s c begins"])
    }))

  it.scoped("claims no job ahead: without a free slot a job stays in the queue", () =>
    Effect.gen(function*() {
      const { build, open } = yield* makeWorld()
      const { context } = yield* build(Letters.layer({ concurrency: 1, process: () => Effect.never }))
      yield* Letters.offerAll(["a", "b"]).pipe(Effect.provide(context))
      yield* running(1).pipe(Effect.provide(context))
      assert.strictEqual(yield* Effect.flatMap(open("letters"), (_) => _.size), 1)
    }))

  it.scoped("stops at once when it is idle", () =>
    Effect.gen(function*() {
      const { build, reports } = yield* makeWorld({ durable: true })
      const { stop } = yield* build(Letters.layer({ concurrency: 2, process: () => Effect.void }))
      yield* TestClock.adjust("1 minute")
      yield* stop
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 0, handedBack: 0, cut: 0 }
      ])
    }))

  it.scoped("provides the services of its layer to the process", () =>
    Effect.gen(function*() {
      const Greeting = Context.GenericTag<"Greeting", string>("Greeting")
      const { build, entries, note } = yield* makeWorld()
      const { context } = yield* build(
        Letters.layer({
          concurrency: 1,
          process: (letter) => Effect.flatMap(Greeting, (greeting) => note(`${greeting} ${letter}`))
        }).pipe(Layer.provide(Layer.succeed(Greeting, "hello")))
      )
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(entries, ["0s hello a"])
    }))

  it.scoped("dies with a message when its concurrency is below 1", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld()
      const exit = yield* Effect.exit(build(Letters.layer({ concurrency: 0, process: () => Effect.void })))
      assert.match(String(exit), /letters: concurrency is 0, and must be an integer of at least 1/)
    }))
})

describe("WorkerPool.layerConfig", () => {
  const layer = Letters.layerConfig({
    concurrency: Config.integer("WORKERS"),
    drainTimeout: Config.duration("DRAIN_TIMEOUT"),
    releaseTimeout: "1 second",
    process: () => Effect.never
  })
  const environment = (...entries: ReadonlyArray<[string, string]>) =>
    Effect.withConfigProvider(ConfigProvider.fromMap(new Map(entries)))

  it.scoped("takes concurrency and timeouts from the configuration", () =>
    Effect.gen(function*() {
      const { build, reports } = yield* makeWorld()
      const { context, stop } = yield* build(layer).pipe(environment(["WORKERS", "2"], ["DRAIN_TIMEOUT", "3 seconds"]))
      assert.strictEqual((yield* Effect.provide(Letters.status, context)).concurrency, 2)
      yield* Letters.offerAll(["a", "b", "c"]).pipe(Effect.provide(context))
      yield* running(2).pipe(Effect.provide(context))
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("2900 millis")
      assert.deepStrictEqual(yield* reports, [])
      yield* TestClock.adjust("300 millis")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual((yield* reports).map(({ cut, outcome }) => [outcome, cut]), [["Interrupted", 3]])
    }))

  it.scoped("fails with the ConfigError of an invalid setting", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld()
      const error = yield* Effect.flip(
        build(layer).pipe(environment(["WORKERS", "many"], ["DRAIN_TIMEOUT", "3 seconds"]))
      )
      assert.match(String(error), /WORKERS.*many/)
    }))
})

describe("The exit of a job", () => {
  it.scoped("acknowledges a job that succeeds", () =>
    Effect.gen(function*() {
      const { build, open } = yield* makeWorld()
      const { context } = yield* build(Letters.layer({ concurrency: 2, process: () => Effect.void }))
      yield* Letters.offerAll(["a", "b"]).pipe(Effect.provide(context))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Effect.flatMap(open("letters"), (_) => _.size), 0)
      const { condition, finished, inFlight } = yield* Effect.provide(Letters.status, context)
      assert.deepStrictEqual({ condition, finished, inFlight }, { condition: "Running", finished: 2, inFlight: 0 })
    }))

  it.scoped("retries failures and defects after the delays of the schedule, then moves the job to the dead letters", () =>
    Effect.gen(function*() {
      const { build, entries, note, open } = yield* makeWorld()
      const { context } = yield* build(Letters.layer({
        concurrency: 1,
        retry: Schedule.exponential("1 second").pipe(Schedule.intersect(Schedule.recurs(2))),
        process: (_, { attempt }) =>
          Effect.zipRight(
            note(`attempt ${attempt}`),
            attempt === 2 ? Effect.die(new Error("a bug")) : Effect.fail(new Error("bad luck"))
          )
      }))
      yield* Letters.offer("a", { id: "1" }).pipe(Effect.provide(context))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(entries, ["0s attempt 1", "1s attempt 2", "3s attempt 3"])
      const queue = yield* open("letters")
      assert.deepStrictEqual((yield* queue.deadLetters.list(9)).map(toLine), ["3s 1 a: Error: bad luck (3)"])
      assert.strictEqual(yield* queue.size, 0)
    }))

  it.scoped("retries a job that interrupts itself, as a failure", () =>
    Effect.gen(function*() {
      const { build, entries, note, open } = yield* makeWorld({ durable: true })
      const { context } = yield* build(Letters.layer({
        concurrency: 1,
        retry: spaced(1),
        process: (_, { attempt }) => Effect.zipRight(note(`attempt ${attempt}`), Effect.interrupt)
      }))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(entries, ["0s attempt 1", "1s attempt 2"])
      assert.strictEqual((yield* Effect.flatMap(open("letters"), (_) => _.deadLetters.list(9))).length, 1)
    }))

  it.scoped("settles a completed job once, whatever its process does afterwards", () =>
    Effect.gen(function*() {
      const { build, entries, note, open } = yield* makeWorld()
      const { context } = yield* build(Letters.layer({
        concurrency: 1,
        process: (letter, { complete }) => Effect.zipRight(complete(note(`${letter} written`)), Effect.fail("too late"))
      }))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(entries, ["0s a written"])
      const queue = yield* open("letters")
      assert.deepStrictEqual([yield* queue.size, yield* queue.deadLetters.list(9)], [0, []])
      assert.strictEqual((yield* Effect.provide(Letters.status, context)).finished, 1)
    }))

  it.scoped("moves a job that killed its process too often to the dead letters, without running it again", () =>
    Effect.gen(function*() {
      const { build, entries, note, open } = yield* makeWorld({ durable: true, lease: "10 seconds" })
      const queue = yield* open("letters")
      yield* queue.offer(["poison"], { ids: ["1"] })
      yield* queue.claim(1)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* queue.claim(1))[0]?.attempt, 2)
      yield* TestClock.adjust("10 seconds")
      yield* build(Letters.layer({ concurrency: 1, retry: spaced(1), process: (letter) => note(letter) }))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(entries, [])
      assert.deepStrictEqual((yield* queue.deadLetters.list(9)).map(toLine), [
        "20s 1 poison: attempt 3 is one more than its schedule allows (3)"
      ])
    }))

  it.scoped("moves a job that does not decode to the dead letters, without running it", () =>
    Effect.gen(function*() {
      const { build, entries, note, open } = yield* makeWorld()
      const queue = yield* open("numbers")
      yield* queue.offer(["three", 4], { ids: ["1", "2"] })
      yield* build(Numbers.layer({ concurrency: 1, process: (number) => note(`${number}`) }))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(entries, ["0s 4"])
      const [dead] = yield* queue.deadLetters.list(9)
      assert.match(
        dead!.error,
        /numbers: job 1 was not run, because its stored payload does not decode. Stored is "three".*Expected number/s
      )
    }))

  it.scoped("refuses a job and a cursor that do not encode with a typed error", () =>
    Effect.gen(function*() {
      class Names extends WorkerPool.Tag("names")<Names, string, string>({
        payload: Schema.NonEmptyString,
        cursor: Schema.NonEmptyString
      }) {}
      const { build, entries, note } = yield* makeWorld()
      const { context } = yield* build(Names.layer({
        concurrency: 1,
        process: (_, { checkpoint }) => Effect.catchAll(checkpoint("", Effect.void), (error) => note(error.message))
      }))
      const error = yield* Effect.flip(Effect.provide(Names.offer(""), context))
      assert.match(error.message, /^names: offer failed: NonEmptyString/)
      yield* Effect.provide(Names.offer("a"), context)
      yield* TestClock.adjust("1 second")
      assert.match(entries.join(), /^0s names: checkpoint failed: NonEmptyString/)
    }))

  it.scoped("continues from the cursor of the last checkpoint in the next attempt", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld()
      const { context } = yield* build(Numbers.layer({
        concurrency: 1,
        process: (_, { checkpoint, cursor }) => {
          const from = Option.getOrElse(cursor, () => 0)
          return Effect.zipRight(
            checkpoint(from + 1, note(`row ${from}`)),
            from < 2 ? Effect.fail("again") : Effect.void
          )
        }
      }))
      yield* Numbers.offer(1).pipe(Effect.provide(context))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(entries.map((_) => _.split(" ").slice(1).join(" ")), ["row 0", "row 1", "row 2"])
    }))

  it.scoped("moves a job with a permanent failure to the dead letters at once, whatever the schedule allows", () =>
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

  it.scoped("moves a job whose cursor does not decode to the dead letters, and it continues after a redrive", () =>
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

describe("An offer", () => {
  it.scoped("fails with QueueFull, and offers none of the jobs, when a queue in memory has no room", () =>
    Effect.gen(function*() {
      const { build, open } = yield* makeWorld({ capacity: 2 })
      const { context } = yield* build(Letters.layer({ concurrency: 1, process: () => Effect.never }))
      const offer = (...letters: Array<string>) =>
        Effect.either(Letters.offerAll(letters)).pipe(Effect.provide(context))
      yield* offer("a")
      yield* running(1).pipe(Effect.provide(context))
      assert.strictEqual((yield* offer("b", "c", "d"))._tag, "Left")
      assert.strictEqual(yield* Effect.flatMap(open("letters"), (_) => _.size), 0)
      assert.strictEqual((yield* offer("b", "c"))._tag, "Right")
      const full = yield* Effect.flip(Letters.offer("d")).pipe(Effect.provide(context))
      assert.strictEqual(full.message, "letters: the queue is full (capacity 2)")
    }))

  it.scoped("is refused by a pool over memory that is closed", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld()
      const { context, stop } = yield* build(Letters.layer({ concurrency: 1, process: () => Effect.void }))
      yield* stop
      const refused = yield* Effect.flip(Letters.offer("a")).pipe(Effect.provide(context))
      assert.strictEqual(refused.message, "letters: offer failed: the pool has ended")
      assert.strictEqual((yield* Effect.provide(Letters.status, context)).condition, "Closed")
    }))

  it.scoped("makes a delayed job available after its delay", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld()
      const { context } = yield* build(Letters.layer({ concurrency: 1, process: (letter) => note(letter) }))
      yield* Letters.offer("late", { delay: "3 seconds" }).pipe(Effect.provide(context))
      yield* Letters.offer("now").pipe(Effect.provide(context))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(entries, ["0s now", "3s late"])
    }))
})
