import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Schedule, Schema, TestClock } from "effect"
import { type JobQueue, JobSourceError } from "../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { until } from "../../kit/until.js"
import { makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string, number>({ cursor: Schema.Number }) {}

const running = (count: number) =>
  until(`${count} jobs are in flight`, Effect.map(Letters.status, (_) => _.inFlight), (n) => n === count)
const condition = (expected: string) =>
  until(`the pool is ${expected}`, Effect.map(Letters.status, (_) => _.condition), (now) => now === expected)
const away = (operation: string) =>
  new JobSourceError({ operation, queue: "letters", cause: new Error("connection refused") })

/** Counts the statements that hand back, and by how many jobs each. */
const counted = (calls: Array<number>) => (queue: JobQueue): JobQueue => ({
  ...queue,
  handBack: (claims) => Effect.zipRight(Effect.sync(() => calls.push(claims.length)), queue.handBack(claims))
})

describe("WorkerPool over a durable source", () => {
  it.scoped("takes nothing any more at LameDuck, finishes what is in flight, and leaves the rest", () =>
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

  it.scoped("goes on taking until its turn with quiesceOn Release", () =>
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

  it.scoped("hands back what it had to interrupt in one statement, attempt and cursor kept", () =>
    Effect.gen(function*() {
      const calls: Array<number> = []
      const { build, entries, note, open, reports } = yield* makeWorld({ durable: true, disturb: counted(calls) })
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

  it.scoped("hands back what can be, also a job that ignores its interruption and is abandoned", () =>
    Effect.gen(function*() {
      const calls: Array<number> = []
      const { build, open, reports } = yield* makeWorld({ durable: true, disturb: counted(calls) })
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

  it.scoped("hands back at the deadline too, when there is no time left to wait", () =>
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

  it.scoped("ends a job at its next checkpoint once it was told to stop, and the next pool goes on from there", () =>
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
      yield* build(Letters.layer({ concurrency: 1, process: () => Effect.void, quiesceOn: "Release" }))
      assert.deepStrictEqual(entries, ["1s a 0, attempt 1", "2s a 1, attempt 1"])
    }))

  it.scoped("starts nothing that an engine hands out after it was told to stop, and hands it back", () =>
    Effect.gen(function*() {
      const claiming = yield* Effect.makeLatch(false)
      const { build, entries, lifecycle, note, open } = yield* makeWorld({
        durable: true,
        disturb: (queue) => ({ ...queue, claim: (limit) => Effect.zipLeft(queue.claim(limit), claiming.await) })
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

  it.scoped("finishes a job whose completion is being committed when it is interrupted", () =>
    Effect.gen(function*() {
      const calls: Array<number> = []
      const { build, entries, note, open, reports } = yield* makeWorld({
        durable: true,
        disturb: (queue) => ({
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

  it.scoped("says what it could not hand back because the source is away", () =>
    Effect.gen(function*() {
      const { build, reports } = yield* makeWorld({
        durable: true,
        disturb: (queue) => ({ ...queue, handBack: () => away("handBack") })
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

describe("WorkerPool over memory", () => {
  it.scoped("is drained empty, retries included, and counts what it finished", () =>
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

  it.scoped("counts as cut what is left when its time is over, the interrupted jobs among it", () =>
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
})

describe("WorkerPool waits for a source that is away", () => {
  it.scoped("says so in its status, asks again, and goes on when it is back", () =>
    Effect.gen(function*() {
      let down = true
      let asked = 0
      const { build, entries, note } = yield* makeWorld({
        disturb: (queue) => ({
          ...queue,
          claim: (limit) => {
            asked++
            return down ? away("claim") : queue.claim(limit)
          }
        })
      })
      const { context } = yield* build(Letters.layer({ concurrency: 1, process: (letter) => note(letter) }))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* condition("Waiting for the source: letters: claim failed: connection refused").pipe(
        Effect.provide(context)
      )
      yield* TestClock.adjust("1 minute")
      assert.isAbove(asked, 12)
      assert.isBelow(asked, 30)
      down = false
      yield* TestClock.adjust("7 seconds")
      assert.strictEqual(entries.length, 1)
      yield* condition("Running").pipe(Effect.provide(context))
    }))

  it.scoped("to acknowledge a job, which runs once", () =>
    Effect.gen(function*() {
      let down = true
      const { build, entries, note, open } = yield* makeWorld({
        durable: true,
        disturb: (queue) => ({
          ...queue,
          transact: (claim, writes, settlement) =>
            Effect.suspend(() => down ? Effect.fail(away("ack")) : queue.transact(claim, writes, settlement))
        })
      })
      const { context } = yield* build(Letters.layer({ concurrency: 1, process: (letter) => note(letter) }))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* TestClock.adjust("20 seconds")
      down = false
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(entries, ["0s a"])
      assert.strictEqual((yield* Effect.provide(Letters.status, context)).finished, 1)
      assert.deepStrictEqual(yield* Effect.flatMap(open("letters"), (_) => _.claim(1)), [])
    }))

  it.scoped("to acknowledge a job, for two seconds more when it is interrupted meanwhile", () =>
    Effect.gen(function*() {
      let down = true
      const { build, reports } = yield* makeWorld({
        durable: true,
        disturb: (queue) => ({
          ...queue,
          transact: (claim, writes, settlement) =>
            Effect.suspend(() => down ? Effect.fail(away("ack")) : queue.transact(claim, writes, settlement))
        })
      })
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 2,
        drainTimeout: "5 seconds",
        process: () => Effect.void
      }))
      yield* Letters.offerAll(["a", "b"]).pipe(Effect.provide(context))
      yield* running(2).pipe(Effect.provide(context))
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("5500 millis")
      down = false
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Interrupted", finished: 2, handedBack: 0, cut: 0 }
      ])
    }))

  it.scoped("no longer than half a minute, then leaves the job to its lease", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld({
        durable: true,
        disturb: (queue) => ({ ...queue, transact: () => away("ack") })
      })
      const { context } = yield* build(Letters.layer({ concurrency: 1, process: () => Effect.void }))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual((yield* Effect.provide(Letters.status, context)).inFlight, 1)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Effect.provide(Letters.status, context)).cut, 1)
    }))
})
