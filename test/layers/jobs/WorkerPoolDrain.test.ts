import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Option, Schedule, Schema, TestClock } from "effect"
import { type JobQueue, JobSourceError } from "../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { until } from "../../kit/until.js"
import { makeJournal, makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string, number>({ cursor: Schema.Number }) {}

const running = (count: number) =>
  until(`${count} jobs are in flight`, Effect.map(Letters.status, (_) => _.inFlight), (n) => n === count)
const condition = (expected: string) =>
  until(`the pool is ${expected}`, Effect.map(Letters.status, (_) => _.condition), (now) => now === expected)
const unavailable = (operation: string) =>
  new JobSourceError({ operation, queue: "letters", cause: new Error("connection refused") })

/** Records the size of each hand-back. */
const counted = (calls: Array<number>) => (queue: JobQueue): JobQueue => ({
  ...queue,
  handBack: (claims) => Effect.zipRight(Effect.sync(() => calls.push(claims.length)), queue.handBack(claims))
})

describe("The drain of a pool over a durable source", () => {
  it.scoped("claims nothing from LameDuck on, finishes the jobs in flight, and leaves the rest in the queue", () =>
    Effect.gen(function*() {
      const { build, entries, lifecycle, note, open, reports } = yield* makeWorld({ durable: true })
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 1,
        process: (letter) => Effect.zipRight(Effect.sleep("3 seconds"), note(`${letter} done`))
      }))
      yield* Letters.offerAll(["a", "b"]).pipe(Effect.provide(context))
      yield* running(1).pipe(Effect.provide(context))
      yield* lifecycle.transition("LameDuck")
      yield* condition("Quiesced").pipe(Effect.provide(context))
      yield* TestClock.adjust("5 seconds")
      yield* stop
      assert.deepStrictEqual(entries, ["3s a done"])
      assert.strictEqual(yield* Effect.flatMap(open("letters"), (_) => _.size), 1)
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 1, handedBack: 0, cut: 0 }
      ])
    }))

  it.scoped("claims jobs until its release with quiesceOn Release", () =>
    Effect.gen(function*() {
      const { build, entries, lifecycle, note } = yield* makeWorld({ durable: true })
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 1,
        quiesceOn: "Release",
        process: (letter) => Effect.zipRight(Effect.sleep("3 seconds"), note(`${letter} done`))
      }))
      yield* Letters.offerAll(["a", "b", "c"]).pipe(Effect.provide(context))
      yield* running(1).pipe(Effect.provide(context))
      yield* lifecycle.transition("LameDuck")
      yield* TestClock.adjust("4 seconds")
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, ["3s a done", "6s b done"])
    }))

  it.scoped("hands back interrupted jobs in one statement, with attempt and cursor kept", () =>
    Effect.gen(function*() {
      const calls: Array<number> = []
      const { build, entries, note, open, reports } = yield* makeWorld({ durable: true, wrap: counted(calls) })
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 3,
        drainTimeout: "2 seconds",
        process: (letter, { checkpoint }) =>
          checkpoint(7, Effect.void).pipe(
            Effect.zipRight(Effect.never),
            Effect.onInterrupt(() => Effect.zipRight(Effect.yieldNow(), note(`${letter} rolled back`)))
          )
      }))
      yield* Letters.offerAll(["a", "b", "c"]).pipe(Effect.provide(context))
      yield* running(3).pipe(Effect.provide(context))
      yield* TestClock.adjust("1 second")
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, ["3s a rolled back", "3s b rolled back", "3s c rolled back"])
      assert.deepStrictEqual(calls, [3])
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Interrupted", finished: 0, handedBack: 3, cut: 0 }
      ])
      const claims = yield* Effect.flatMap(open("letters"), (_) => _.claim(9))
      assert.deepStrictEqual(claims.map(({ attempt, cursor, payload }) => [payload, attempt, cursor]), [
        ["a", 1, Option.some(7)],
        ["b", 1, Option.some(7)],
        ["c", 1, Option.some(7)]
      ])
    }))

  it.scoped("hands back every job, also one that ignores its interruption and is abandoned", () =>
    Effect.gen(function*() {
      const calls: Array<number> = []
      const { build, open, reports } = yield* makeWorld({ durable: true, wrap: counted(calls) })
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 4,
        drainTimeout: "2 seconds",
        process: (letter) =>
          letter === "slow"
            ? Effect.ensuring(Effect.never, Effect.sleep("1 second"))
            : letter === "stubborn"
            ? Effect.uninterruptible(Effect.never)
            : Effect.never
      }))
      yield* Letters.offerAll(["a", "stubborn", "slow", "b"]).pipe(Effect.provide(context))
      yield* running(4).pipe(Effect.provide(context))
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(calls, [])
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(calls, [2])
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(calls, [2, 1, 1])
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Abandoned", finished: 0, handedBack: 3, cut: 1 }
      ])
      assert.strictEqual(yield* Effect.flatMap(open("letters"), (_) => _.size), 4)
    }))

  it.scoped("claims nothing once it is quiesced, however long `onEvent` takes then", () =>
    Effect.gen(function*() {
      let claims = 0
      const { build, lifecycle, open } = yield* makeWorld({
        durable: true,
        wrap: (queue) => ({
          ...queue,
          claim: (count) => Effect.suspend(() => (claims++, queue.claim(count)))
        })
      })
      const { lines, onEvent } = makeJournal()
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 2,
        onEvent: (event) =>
          Effect.zipRight(onEvent(event), event._tag === "Quiesced" ? Effect.sleep("3 seconds") : Effect.void),
        process: () => Effect.sleep("1 second")
      }))
      yield* Letters.offerAll(["a", "b", "c", "d", "e"]).pipe(Effect.provide(context))
      yield* running(2).pipe(Effect.provide(context))
      const before = claims
      yield* lifecycle.shutdown.begin({ reason: "SIGTERM" })
      yield* lifecycle.transition("Draining")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(claims, before)
      yield* stop
      assert.deepStrictEqual(lines.filter((line) => line.includes("HandedBack")), [])
      assert.strictEqual(yield* Effect.flatMap(open("letters"), (_) => _.size), 3)
    }))

  it.scoped("hands back at the deadline, too, when no time is left", () =>
    Effect.gen(function*() {
      const { build, lifecycle, open } = yield* makeWorld({ durable: true, shutdown: { gracePeriod: "10 seconds" } })
      const { context, stop } = yield* build(Letters.layer({ concurrency: 2, process: () => Effect.never }))
      yield* Letters.offerAll(["a", "b"]).pipe(Effect.provide(context))
      yield* running(2).pipe(Effect.provide(context))
      yield* lifecycle.shutdown.begin({ reason: "SIGTERM" })
      yield* TestClock.adjust("11 seconds")
      const queue = yield* open("letters")
      yield* Effect.fork(stop)
      yield* TestClock.adjust("0 millis")
      yield* until("two jobs are queued", queue.size, (size) => size === 2)
    }))

  it.scoped("ends a job at its next checkpoint after the shutdown began, and the next pool continues from there", () =>
    Effect.gen(function*() {
      const { build, entries, lifecycle, note, reports } = yield* makeWorld({ durable: true })
      const layer = Letters.layer({
        concurrency: 1,
        process: (letter, { attempt, checkpoint, cursor }) =>
          Effect.iterate(Option.getOrElse(cursor, () => 0), {
            while: (row) => row < 4,
            body: (row) =>
              Effect.sleep("1 second").pipe(
                Effect.zipRight(checkpoint(row + 1, note(`${letter} ${row}, attempt ${attempt}`))),
                Effect.as(row + 1)
              )
          })
      })
      const first = yield* build(layer)
      yield* Letters.offer("a").pipe(Effect.provide(first.context))
      yield* running(1).pipe(Effect.provide(first.context))
      yield* TestClock.adjust("1 second")
      yield* lifecycle.transition("LameDuck")
      yield* condition("Quiesced").pipe(Effect.provide(first.context))
      yield* TestClock.adjust("5 seconds")
      yield* first.stop
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 0, handedBack: 1, cut: 0 }
      ])
      yield* build(layer, (yield* makeWorld()).lifecycle.shutdown)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(entries, [
        "1s a 0, attempt 1",
        "2s a 1, attempt 1",
        "7s a 2, attempt 1",
        "8s a 3, attempt 1"
      ])
    }))

  it.scoped("hands back a job that the engine returns after the pool quiesced, without starting it", () =>
    Effect.gen(function*() {
      const claiming = yield* Effect.makeLatch(false)
      const { build, entries, lifecycle, note, open } = yield* makeWorld({
        durable: true,
        wrap: (queue) => ({ ...queue, claim: (limit) => Effect.zipLeft(queue.claim(limit), claiming.await) })
      })
      const { context, stop } = yield* build(Letters.layer({ concurrency: 2, process: (letter) => note(letter) }))
      yield* Letters.offerAll(["a", "b"]).pipe(Effect.provide(context))
      yield* lifecycle.transition("LameDuck")
      yield* condition("Quiesced").pipe(Effect.provide(context))
      yield* claiming.open
      yield* stop
      assert.deepStrictEqual(entries, [])
      const claims = yield* Effect.flatMap(open("letters"), (_) => _.claim(9))
      assert.deepStrictEqual(claims.map(({ attempt, payload }) => [payload, attempt]), [["a", 1], ["b", 1]])
    }))

  it.scoped("finishes a job that is interrupted while its completion is committed", () =>
    Effect.gen(function*() {
      const calls: Array<number> = []
      const { build, entries, note, open, reports } = yield* makeWorld({
        durable: true,
        wrap: (queue) => ({
          ...counted(calls)(queue),
          transact: (claim, writes, settlement) =>
            Effect.zipLeft(queue.transact(claim, writes, settlement), Effect.sleep("2 seconds"))
        })
      })
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 1,
        drainTimeout: "1 second",
        process: (letter, { complete }) => Effect.zipRight(complete(note(letter)), Effect.never)
      }))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* running(1).pipe(Effect.provide(context))
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, ["0s a"])
      assert.deepStrictEqual(calls, [])
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Interrupted", finished: 1, handedBack: 0, cut: 0 }
      ])
      assert.strictEqual(yield* Effect.flatMap(open("letters"), (_) => _.size), 0)
    }))

  it.scoped("counts interrupted jobs as cut when the source is unavailable", () =>
    Effect.gen(function*() {
      const { build, reports } = yield* makeWorld({
        durable: true,
        wrap: (queue) => ({ ...queue, handBack: () => unavailable("handBack") })
      })
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 2,
        drainTimeout: "1 second",
        process: () => Effect.never
      }))
      yield* Letters.offerAll(["a", "b"]).pipe(Effect.provide(context))
      yield* running(2).pipe(Effect.provide(context))
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Interrupted", finished: 0, handedBack: 0, cut: 2 }
      ])
    }))
})

describe("The drain of a pool over memory", () => {
  it.scoped("empties the queue, retries included, and counts the runs it finished", () =>
    Effect.gen(function*() {
      const { build, entries, lifecycle, note, open, reports } = yield* makeWorld()
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 1,
        retry: Schedule.spaced("5 seconds"),
        process: (letter, { attempt }) =>
          Effect.zipRight(
            Effect.sleep("1 second"),
            letter === "b" && attempt === 1 ? Effect.fail("again") : note(`${letter} done`)
          )
      }))
      yield* Letters.offerAll(["a", "b", "c"]).pipe(Effect.provide(context))
      yield* running(1).pipe(Effect.provide(context))
      yield* lifecycle.transition("LameDuck")
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("20 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, ["1s a done", "3s c done", "8s b done"])
      assert.strictEqual(yield* Effect.flatMap(open("letters"), (_) => _.size), 0)
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 4, handedBack: 0, cut: 0 }
      ])
    }))

  it.scoped("counts the jobs that are left at the drain timeout as cut, including the interrupted ones", () =>
    Effect.gen(function*() {
      const { build, reports } = yield* makeWorld()
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 2,
        drainTimeout: "2 seconds",
        process: (letter) => letter === "a" ? Effect.void : Effect.never
      }))
      yield* Letters.offerAll(["a", "b", "c", "d", "e"]).pipe(Effect.provide(context))
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Interrupted", finished: 1, handedBack: 0, cut: 4 }
      ])
    }))

  it.scoped("starts no job that it claims after its time is over", () =>
    Effect.gen(function*() {
      let latency = Duration.zero
      const { build, entries, note, open, reports } = yield* makeWorld({
        wrap: (queue) => ({ ...queue, claim: (limit) => Effect.delay(queue.claim(limit), latency) })
      })
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 1,
        drainTimeout: "2 seconds",
        process: (letter) => note(letter)
      }))
      yield* TestClock.adjust("1 second")
      latency = Duration.seconds(3)
      const stopping = yield* Effect.fork(stop)
      yield* condition("Quiesced").pipe(Effect.provide(context))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, [])
      assert.strictEqual(yield* Effect.flatMap(open("letters"), (_) => _.size), 1)
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Interrupted", finished: 0, handedBack: 0, cut: 1 }
      ])
    }))
})
