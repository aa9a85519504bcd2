import { assert, describe, it } from "@effect/vitest"
import { Cause, type Context, Duration, Effect, Exit, Fiber, Option, Schedule, Schema, TestClock } from "effect"
import { Committing } from "../../../src/core/internal/afterCommit.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { Choices, seed } from "../../kit/random.js"
import { until } from "../../kit/until.js"
import { makeWorld } from "./WorkerPoolWorld.js"

class Squares extends WorkerPool.Tag("squares")<Squares, number, never, bigint>({ success: Schema.BigInt }) {}
class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}
class Words extends WorkerPool.Tag("words")<Words, string, never, string>({ success: Schema.NonEmptyString }) {}

const square = (n: number) => Effect.succeed(BigInt(n) * BigInt(n))
const once = Schedule.recurs(0)

/** What comes of an effect, in a line. */
const outcome = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(
    Effect.exit(effect),
    (exit) =>
      Exit.isSuccess(exit) ? String(exit.value) : Option.match(Cause.failureOption(exit.cause), {
        onNone: () => Cause.pretty(exit.cause).split("\n")[0]!,
        onSome: (error) => {
          const { _tag, message } = error as { readonly _tag: string; readonly message: string }
          return `${_tag}: ${message}`
        }
      })
  )

describe("offerAndWait", () => {
  it.scoped("returns what the process has returned, encoded by the schema of the pool in between", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld({ durable: true })
      const { context } = yield* build(Squares.layer({ concurrency: 2, process: square }))
      const client = yield* build(Squares.layerClient())
      assert.deepStrictEqual(
        [
          yield* Effect.provide(Squares.offerAndWait(12), context),
          yield* Effect.provide(Squares.offerAndWait(13), client.context)
        ],
        [144n, 169n]
      )
    }))

  it.scoped("returns the value of the writes of complete, and undefined in a pool without results", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld()
      const squares = yield* build(Squares.layer({
        concurrency: 1,
        process: (n, job) => Effect.as(job.complete(Effect.tap(square(n), (value) => note(String(value)))), 0n)
      }))
      const letters = yield* build(Letters.layer({ concurrency: 1, process: () => Effect.succeed(7) }))
      const results = [
        yield* Effect.provide(Squares.offerAndWait(3), squares.context),
        yield* Effect.provide(Letters.offerAndWait("a"), letters.context)
      ]
      assert.deepStrictEqual([results, entries], [[9n, undefined], ["0s 9"]])
    }))

  it.scoped("waits for the attempt that succeeds, and fails with the error of the last one when none does", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld()
      const { context } = yield* build(Letters.layer({
        concurrency: 2,
        retry: Schedule.spaced("1 second").pipe(Schedule.intersect(Schedule.recurs(2))),
        process: (letter, { attempt }) => attempt <= letter.length ? Effect.fail(`no ${attempt}`) : Effect.void
      }))
      yield* Effect.forEach(["", "aa", "aaa"], (letter) =>
        Letters.offerAndWait(letter, { id: `id-${letter}` }).pipe(
          outcome,
          Effect.flatMap((line) => note(line)),
          Effect.provide(context),
          Effect.fork
        ))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(entries, [
        "0s undefined",
        "2s undefined",
        "2s JobDeadLettered: letters: job id-aaa is a dead letter: Error: no 3"
      ])
    }))

  it.scoped("fails when the job is cancelled, whether it waits or runs", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld()
      const { context } = yield* build(Letters.layer({ concurrency: 1, process: () => Effect.never }))
      const test = Effect.gen(function*() {
        const waiters = yield* Effect.forEach(["runs", "waits"], (id) =>
          Effect.fork(outcome(Letters.offerAndWait(id, { id }))))
        const pool = yield* Letters
        yield* until(
          "one runs",
          Effect.map(pool.running, (running) =>
            running.length === 1)
        )
        assert.strictEqual(yield* pool.cancel(["runs", "waits"]), 2)
        return yield* Effect.forEach(waiters, Fiber.join)
      })
      const reason = "is gone: it was cancelled or discarded, or the queue does not know it"
      assert.deepStrictEqual(yield* Effect.provide(test, context), [
        `JobGone: letters: job runs ${reason}`,
        `JobGone: letters: job waits ${reason}`
      ])
    }))

  it.scoped("runs a job once when it is repeated with its id, and returns its result again, for at least a minute", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld()
      const { context } = yield* build(Squares.layer({
        concurrency: 2,
        process: (n) => Effect.delay(Effect.zipRight(note(`runs ${n}`), square(n)), "1 second")
      }))
      const ask = (n: number) =>
        Effect.fork(Effect.provide(Squares.offerAndWait(n, { id: "one", keepIdFor: 0 }), context))
      const waiters = [yield* ask(2), yield* ask(3)]
      yield* TestClock.adjust("59 seconds")
      waiters.push(yield* ask(4))
      yield* TestClock.adjust("2 minutes")
      waiters.push(yield* ask(5))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Effect.forEach(waiters, Fiber.join), [4n, 4n, 4n, 25n])
      assert.deepStrictEqual(entries, ["1s runs 2", "180s runs 5"])
    }))

  it.scoped("may be interrupted, and the job goes on", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld()
      const { context } = yield* build(Squares.layer({
        concurrency: 1,
        process: (n) => Effect.tap(Effect.delay(square(n), "3 seconds"), (value) => note(String(value)))
      }))
      const asked = Squares.offerAndWait(5, { id: "five" }).pipe(
        Effect.timeoutOption("1 second"),
        Effect.provide(context)
      )
      const fiber = yield* Effect.fork(asked)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(fiber), Option.none())
      const again = yield* Effect.fork(Effect.provide(Squares.awaitResult("five"), context))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual([yield* Fiber.join(again), entries], [25n, ["3s 25"]])
    }))

  it.scoped("is refused in a transaction, which would stay open meanwhile, and so is awaitResult", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld()
      const { context } = yield* build(Letters.layer({ concurrency: 1, process: () => Effect.void }))
      const refused =
        "JobSourceError: letters: awaitResult failed: the transaction around would stay open meanwhile: " +
        "offer the job in it, and await it after its commit"
      const lines = yield* Effect.provide(
        Effect.all([outcome(Letters.offerAndWait("a")), outcome(Letters.awaitResult("a"))]).pipe(
          Effect.provideService(Committing, [])
        ),
        context
      )
      assert.deepStrictEqual(lines, [refused, refused])
      assert.strictEqual(yield* Effect.provide(Effect.flatMap(Letters, ({ size }) => size), context), 0)
    }))
})

describe("A result", () => {
  it.scoped("that does not encode, or cannot be stored, fails the attempt", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld()
      const { context } = yield* build(Words.layer({
        concurrency: 1,
        retry: once,
        process: (word, job) => word.startsWith("complete") ? job.complete(Effect.succeed("")) : Effect.succeed(word)
      }))
      const lines = yield* Effect.forEach(["", "a\u0000", "\ud800", "complete", "\\u0000"], (word) =>
        Effect.map(outcome(Effect.provide(Words.offerAndWait(word, { id: "id" }), context)), (line) =>
          line.split("\n")[0]).pipe(
            Effect.zipLeft(Effect.provide(
              Effect.flatMap(Words, ({ deadLetters }) =>
                deadLetters.discard(["id"])),
              context
            ))
          ))
      const dead = "JobDeadLettered: words: job id is a dead letter:"
      assert.deepStrictEqual(lines, [
        `${dead} ParseError: NonEmptyString`,
        `${dead} Error: the result is no JSON that can be stored`,
        `${dead} Error: the result is no JSON that can be stored`,
        `${dead} JobSourceError: words: complete failed: NonEmptyString`,
        "\\u0000"
      ])
    }))

  it.scoped("that does not decode, or that the job has not left, fails the wait and not the job", () =>
    Effect.gen(function*() {
      const { build, open } = yield* makeWorld({ durable: true })
      const { context } = yield* build(Words.layerClient())
      const queue = yield* open("words")
      for (const [id, value] of [["wrong", { value: () => "" }], ["none", {}]] as const) {
        yield* queue.offer(["job"], { ids: [id] })
        const [claim] = yield* queue.claim(1)
        yield* queue.transact(claim!, Effect.void, { _tag: "Ack", ...value })
      }
      const [wrong, none] = yield* Effect.forEach(
        ["wrong", "none"],
        (id) => outcome(Effect.provide(Words.awaitResult(id), context))
      )
      assert.match(
        wrong!,
        /^JobSourceError: words: awaitResult failed: the result of job wrong does not decode: NonEmptyString/
      )
      assert.strictEqual(
        none,
        "JobSourceError: words: awaitResult failed: job none has succeeded without a result: " +
          "a process without the schema `success` ran it"
      )
    }))

  it.scoped("is nothing that a batch has", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld()
      const layer = Words.layerBatched({ concurrency: 1, batchSize: 2, processAll: () => Effect.void })
      assert.strictEqual(
        yield* outcome(Effect.asVoid(build(layer))),
        "Error: words: a pool with the schema `success` cannot run batches"
      )
    }))
})

describe("Waiting for a result while pools drain", () => {
  /** A request that is answered by the result of a job. */
  const request = (context: Context.Context<Squares>, note: (what: string) => Effect.Effect<void>) => (n: number) =>
    Effect.fork(Effect.flatMap(outcome(Effect.provide(Squares.offerAndWait(n, { id: String(n) }), context)), note))

  it.scoped("a job that is handed back is awaited until another process has run it", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld({ durable: true })
      const web = yield* build(Squares.layerClient())
      const workers = Squares.layer({
        concurrency: 1,
        drainTimeout: "1 second",
        process: (n) => Effect.delay(square(n), "10 seconds")
      })
      const first = yield* build(workers)
      const answered = yield* request(web.context, note)(7)
      yield* TestClock.adjust("5 seconds")
      const stopped = yield* Effect.fork(first.stop)
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(stopped)
      yield* note("handed back")
      const next = yield* makeWorld()
      yield* build(workers, next.lifecycle.shutdown)
      yield* TestClock.adjust("20 seconds")
      yield* Fiber.join(answered)
      assert.deepStrictEqual(entries, ["7s handed back", "17s 49"])
    }))

  it.scoped("a wait fails when its own pool is released before the job has ended, and no later", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld({ durable: true })
      const pool = yield* build(Squares.layer({
        concurrency: 2,
        drainTimeout: "3 seconds",
        process: (n) => Effect.delay(square(n), Duration.seconds(n))
      }))
      const client = yield* build(Squares.layerClient())
      const ask = request(pool.context, note)
      const answered = [yield* ask(2), yield* ask(9), yield* request(client.context, note)(8)]
      yield* TestClock.adjust("1 second")
      const stopped = yield* Effect.fork(pool.stop)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(stopped)
      yield* TestClock.adjust("1 minute")
      yield* note("client is released")
      yield* client.stop
      yield* Effect.forEach(answered, Fiber.join)
      const ended = (id: number) =>
        `JobSourceError: squares: awaitResult failed: the pool has ended, but job ${id} has not`
      assert.deepStrictEqual(entries, ["2s 4", `4s ${ended(9)}`, "64s client is released", `64s ${ended(8)}`])
    }))

  it.scoped("a pool over memory ends the jobs that are awaited, as far as its time goes", () =>
    Effect.gen(function*() {
      const { build, entries, note, reports } = yield* makeWorld()
      const pool = yield* build(Squares.layer({
        concurrency: 1,
        drainTimeout: "4 seconds",
        process: (n) => Effect.delay(square(n), "3 seconds")
      }))
      const answered = yield* Effect.forEach([1, 2, 3], request(pool.context, note))
      yield* TestClock.adjust("1 second")
      const stopped = yield* Effect.fork(pool.stop)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(stopped)
      yield* Effect.forEach(answered, Fiber.join)
      const ended = (id: number) =>
        `JobSourceError: squares: awaitResult failed: the pool has ended, but job ${id} has not`
      assert.deepStrictEqual(entries, ["3s 1", `5s ${ended(2)}`, `5s ${ended(3)}`])
      assert.deepStrictEqual((yield* reports).map(({ cut, finished }) => ({ cut, finished })), [{
        cut: 2,
        finished: 1
      }])
    }))
})

describe("Every wait for a result", () => {
  it.scoped("ends as its job has, whichever processes run it, drain or cancel it", () =>
    Effect.gen(function*() {
      const choices = new Choices(seed)
      const { build } = yield* makeWorld({ durable: true, capacity: 1_000 })
      const web = yield* build(Squares.layerClient())
      const plan = (n: number) => (["succeeds", "succeeds late", "dies", "is cancelled"] as const)[n % 4]!
      const workers = Squares.layer({
        concurrency: 5,
        drainTimeout: "1 second",
        retry: Schedule.spaced("1 second").pipe(Schedule.intersect(Schedule.recurs(2))),
        process: (n, { attempt }) =>
          plan(n) === "is cancelled"
            ? Effect.never
            : Effect.delay(
              plan(n) === "dies" || (plan(n) === "succeeds late" && attempt < 3) ? Effect.fail("bad luck") : square(n),
              Duration.millis(choices.int(0, 4_000))
            )
      })
      const ns = Array.from({ length: 60 }, (_, n) => n)
      const ended = yield* Effect.forEach(ns, (n) =>
        Effect.sleep(Duration.millis(choices.int(0, 20_000))).pipe(
          Effect.zipRight(Squares.offerAndWait(n, { id: String(n) })),
          outcome,
          Effect.provide(web.context),
          Effect.fork
        ))
      yield* Effect.forEach(ns.filter((n) => plan(n) === "is cancelled"), (n) =>
        Effect.flatMap(Squares, ({ cancel }) =>
          cancel([String(n)])).pipe(
            Effect.delay(Duration.seconds(20 + choices.int(0, 10))),
            Effect.provide(web.context),
            Effect.fork
          ))
      for (let round = 0; round < 8; round++) {
        const { lifecycle } = yield* makeWorld()
        const pool = yield* build(workers, lifecycle.shutdown)
        yield* TestClock.adjust(Duration.millis(choices.int(1_000, 9_000)))
        const stopped = yield* Effect.fork(pool.stop)
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(stopped)
      }
      const { lifecycle } = yield* makeWorld()
      yield* build(workers, lifecycle.shutdown)
      yield* TestClock.adjust("5 minutes")
      const polled = yield* Effect.forEach(ended, (fiber) =>
        fiber.poll)
      const expected = ns.map((n) => {
        switch (plan(n)) {
          case "dies":
            return `JobDeadLettered: squares: job ${n} is a dead letter: Error: bad luck`
          case "is cancelled":
            return `JobGone: squares: job ${n} is gone: it was cancelled or discarded, or the queue does not know it`
          default:
            return String(n * n)
        }
      })
      const values = yield* Effect.forEach(ended, Fiber.join)
      assert.deepStrictEqual([polled.filter(Option.isNone), values], [[], expected], `seed ${seed}`)
    }))
})
