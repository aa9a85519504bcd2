import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Schedule, Schema, TestClock } from "effect"
import type { DeadLetter } from "../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { until } from "../../kit/until.js"
import { makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}
class Numbers extends WorkerPool.Tag("numbers")<Numbers, number, number>({
  payload: Schema.Int,
  cursor: Schema.NumberFromString
}) {}

const running = (count: number) =>
  until(`${count} jobs are in flight`, Effect.map(Letters.status, (_) => _.inFlight), (n) => n === count)
const toLine = ({ attempt, error, failedAt, id, payload }: DeadLetter) =>
  `${failedAt.epochMillis / 1000}s ${id} ${payload}: ${error} (${attempt})`
const spaced = (retries: number) => Schedule.spaced("1 second").pipe(Schedule.intersect(Schedule.recurs(retries)))

describe("WorkerPool takes", () => {
  it.scoped("the oldest jobs first, no more than concurrency at a time", () =>
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

  it.scoped("nothing ahead: what has no slot stays in the queue", () =>
    Effect.gen(function*() {
      const { build, open } = yield* makeWorld()
      const { context } = yield* build(Letters.layer({ concurrency: 1, process: () => Effect.never }))
      yield* Letters.offerAll(["a", "b"]).pipe(Effect.provide(context))
      yield* running(1).pipe(Effect.provide(context))
      assert.strictEqual(yield* Effect.flatMap(open("letters"), (_) => _.size), 1)
    }))

  it.scoped("nothing any more when it is idle and told to stop, at once", () =>
    Effect.gen(function*() {
      const { build, reports } = yield* makeWorld({ durable: true })
      const { stop } = yield* build(Letters.layer({ concurrency: 2, process: () => Effect.void }))
      yield* TestClock.adjust("1 minute")
      yield* stop
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 0, handedBack: 0, cut: 0 }
      ])
    }))

  it.scoped("a job with the services that the layer was built with", () =>
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

  it.scoped("no job when its concurrency makes no sense, which is said", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld()
      const exit = yield* Effect.exit(build(Letters.layer({ concurrency: 0, process: () => Effect.void })))
      assert.match(String(exit), /letters: concurrency must be an integer of at least 1, but is 0/)
    }))
})

describe("WorkerPool settles", () => {
  it.scoped("success by an acknowledgement", () =>
    Effect.gen(function*() {
      const { build, open } = yield* makeWorld()
      const { context } = yield* build(Letters.layer({ concurrency: 2, process: () => Effect.void }))
      yield* Letters.offerAll(["a", "b"]).pipe(Effect.provide(context))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Effect.flatMap(open("letters"), (_) => _.size), 0)
      const { condition, finished, inFlight } = yield* Effect.provide(Letters.status, context)
      assert.deepStrictEqual({ condition, finished, inFlight }, { condition: "Running", finished: 2, inFlight: 0 })
    }))

  it.scoped("failures and defects by retries after the delays of the schedule, then by the dead letters", () =>
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
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(entries, ["0s attempt 1", "1s attempt 2", "3s attempt 3"])
      const queue = yield* open("letters")
      assert.deepStrictEqual((yield* queue.deadLetters.list(9)).map(toLine), ["3s 1 a: Error: bad luck (3)"])
      assert.strictEqual(yield* queue.size, 0)
    }))

  it.scoped("a job that interrupts itself as one that failed", () =>
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

  it.scoped("a completed job once, whatever its process does afterwards", () =>
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

  it.scoped("a job that killed its processes too often by the dead letters, without running it again", () =>
    Effect.gen(function*() {
      const { build, entries, note, open } = yield* makeWorld({ durable: true, lease: "10 seconds" })
      const queue = yield* open("letters")
      yield* queue.offer(["poison"])
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

  it.scoped("a job that does not decode by the dead letters, without running it", () =>
    Effect.gen(function*() {
      const { build, entries, note, open } = yield* makeWorld()
      const queue = yield* open("numbers")
      yield* queue.offer(["three", 4])
      yield* build(Numbers.layer({ concurrency: 1, process: (number) => note(`${number}`) }))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(entries, ["0s 4"])
      const [dead] = yield* queue.deadLetters.list(9)
      assert.match(
        dead!.error,
        /numbers: job 1 was not run, because its stored payload does not decode. Stored is "three".*Expected number/s
      )
    }))

  it.scoped("a checkpoint so that the next attempt goes on from its cursor", () =>
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
})

describe("WorkerPool keeps its leases", () => {
  it.scoped("of jobs that take longer than one", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld({ durable: true, lease: "10 seconds" })
      const { context } = yield* build(Letters.layer({
        concurrency: 2,
        process: (letter, { attempt, complete }) =>
          Effect.zipRight(Effect.sleep("1 minute"), complete(note(`${letter}, attempt ${attempt}`)))
      }))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(entries, ["60s a, attempt 1"])
    }))

  it.scoped("and interrupts a job whose lease is gone: nothing is written, nothing handed back", () =>
    Effect.gen(function*() {
      const calls: Array<string> = []
      const { build, entries, note, open, reports } = yield* makeWorld({
        durable: true,
        disturb: (queue) => ({
          ...queue,
          renew: (claims) => Effect.succeed(claims),
          handBack: (claims) => Effect.zipRight(Effect.sync(() => calls.push("handBack")), queue.handBack(claims))
        })
      })
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 1,
        process: () => Effect.onInterrupt(Effect.never, () => note("interrupted"))
      }))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* running(1).pipe(Effect.provide(context))
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(entries, ["5s interrupted"])
      yield* stop
      assert.deepStrictEqual(calls, [])
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 0, handedBack: 0, cut: 0 }
      ])
      assert.strictEqual(yield* Effect.flatMap(open("letters"), (_) => _.size), 0)
    }))

  it.scoped("but leaves a job alone that was completed while its lease was asked for", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld({
        durable: true,
        disturb: (queue) => ({ ...queue, renew: (claims) => Effect.delay(Effect.succeed(claims), "2 seconds") })
      })
      const { context } = yield* build(Letters.layer({
        concurrency: 1,
        process: (_, { complete }) =>
          Effect.sleep("6 seconds").pipe(
            Effect.zipRight(complete(note("completed"))),
            Effect.zipRight(Effect.sleep("5 seconds")),
            Effect.zipRight(note("afterwards"))
          )
      }))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* running(1).pipe(Effect.provide(context))
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(entries, ["6s completed", "11s afterwards"])
    }))

  it.scoped("and writes nothing for a job that went on without one", () =>
    Effect.gen(function*() {
      const { build, entries, note, open } = yield* makeWorld({
        durable: true,
        disturb: (queue) => ({ ...queue, renew: () => Effect.succeed([]) })
      })
      const other = yield* open("letters")
      const { context } = yield* build(Letters.layer({
        concurrency: 1,
        process: (_, { complete }) =>
          Effect.sleep("20 seconds").pipe(
            Effect.zipRight(complete(note("written"))),
            Effect.catchAll((error) => note(error._tag))
          )
      }))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* running(1).pipe(Effect.provide(context))
      yield* TestClock.adjust("15 seconds")
      const [claim] = yield* other.claim(1)
      assert.strictEqual(claim?.attempt, 2)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(entries, ["20s LeaseLost"])
      yield* other.transact(claim, Effect.void, { _tag: "Ack" })
    }))
})

describe("WorkerPool.offer", () => {
  it.scoped("fails with QueueFull, all or nothing, when a queue in memory has no room", () =>
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
      assert.strictEqual(full.message, "letters: the queue is full (2 jobs)")
    }))

  it.scoped("is refused by a pool over memory that has ended", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld()
      const { context, stop } = yield* build(Letters.layer({ concurrency: 1, process: () => Effect.void }))
      yield* stop
      const refused = yield* Effect.flip(Letters.offer("a")).pipe(Effect.provide(context))
      assert.strictEqual(refused.message, "letters: offer failed: the pool has ended")
      assert.strictEqual((yield* Effect.provide(Letters.status, context)).condition, "Closed")
    }))

  it.scoped("delays a job by as much as it is told to", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld()
      const { context } = yield* build(Letters.layer({ concurrency: 1, process: (letter) => note(letter) }))
      yield* Letters.offer("late", { delay: "3 seconds" }).pipe(Effect.provide(context))
      yield* Letters.offer("now").pipe(Effect.provide(context))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(entries, ["0s now", "3s late"])
    }))
})
