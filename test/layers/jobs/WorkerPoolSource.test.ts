import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Option, Schema, TestClock } from "effect"
import type { JobEvent } from "../../../src/layers/jobs/JobEvent.js"
import { type JobQueue, JobSource, JobSourceError } from "../../../src/layers/jobs/JobSource.js"
import * as JobSourceMemory from "../../../src/layers/jobs/JobSourceMemory.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import * as TestApp from "../../../src/testing/TestApp.js"
import { until } from "../../kit/until.js"
import { makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string, number>({ cursor: Schema.Number }) {}

const running = (count: number) =>
  until(`${count} jobs are in flight`, Effect.map(Letters.status, (_) => _.inFlight), (n) => n === count)
const condition = (expected: string) =>
  until(`the pool is ${expected}`, Effect.map(Letters.status, (_) => _.condition), (now) => now === expected)
const unavailable = (operation: string) =>
  new JobSourceError({ operation, queue: "letters", cause: new Error("connection refused") })

/** An engine whose claims or renewals die while `crashes` returns true. */
const buggy = (operation: "claim" | "renew", crashes: () => boolean) => (queue: JobQueue): JobQueue => ({
  ...queue,
  [operation]: (argument: never) =>
    Effect.suspend((): Effect.Effect<unknown, unknown> =>
      crashes() ? Effect.dieMessage("a bug of the engine") : queue[operation](argument)
    )
})

const crashesOf = (events: ReadonlyArray<JobEvent>) =>
  events.flatMap((event) =>
    event._tag === "Crashed"
      ? [[event.fiber, Option.getOrNull(Option.map(Option.fromNullable(event.restartIn), Duration.toMillis))] as const]
      : []
  )

describe("The lease of a job", () => {
  it.scoped("renews the lease of a job that runs longer than its lease", () =>
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

  it.scoped("interrupts a job whose lease is lost: nothing is written, nothing handed back", () =>
    Effect.gen(function*() {
      const calls: Array<string> = []
      const { build, entries, note, open, reports } = yield* makeWorld({
        durable: true,
        wrap: (queue) => ({
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

  it.scoped("does not interrupt a job that was completed while its lease was renewed", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld({
        durable: true,
        wrap: (queue) => ({ ...queue, renew: (claims) => Effect.delay(Effect.succeed(claims), "2 seconds") })
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

  it.scoped("writes nothing for a job that continues without its lease", () =>
    Effect.gen(function*() {
      const { build, entries, note, open } = yield* makeWorld({
        durable: true,
        wrap: (queue) => ({ ...queue, renew: () => Effect.succeed([]) })
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

describe("A pool whose source is unavailable", () => {
  const outages = [2, 9, 30]

  it.scoped("reports it in the status, retries to claim, and continues when the source answers", () =>
    Effect.gen(function*() {
      let down = true
      let asked = 0
      const { build, entries, note } = yield* makeWorld({
        wrap: (queue) => ({
          ...queue,
          claim: (limit) => {
            asked++
            return down ? unavailable("claim") : queue.claim(limit)
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

  it.scoped("retries to acknowledge a job, and runs the job once", () =>
    Effect.gen(function*() {
      let down = true
      const { build, entries, note, open } = yield* makeWorld({
        durable: true,
        wrap: (queue) => ({
          ...queue,
          transact: (claim, writes, settlement) =>
            Effect.suspend(() => down ? Effect.fail(unavailable("ack")) : queue.transact(claim, writes, settlement))
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

  it.scoped("retries to acknowledge a job for two seconds after it was interrupted", () =>
    Effect.gen(function*() {
      let down = true
      const { build, reports } = yield* makeWorld({
        durable: true,
        wrap: (queue) => ({
          ...queue,
          transact: (claim, writes, settlement) =>
            Effect.suspend(() => down ? Effect.fail(unavailable("ack")) : queue.transact(claim, writes, settlement))
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

  it.scoped("retries to acknowledge a job for half a minute, then leaves the job to its lease", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld({
        durable: true,
        wrap: (queue) => ({ ...queue, transact: () => unavailable("ack") })
      })
      const { context } = yield* build(Letters.layer({ concurrency: 1, process: () => Effect.void }))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual((yield* Effect.provide(Letters.status, context)).inFlight, 1)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Effect.provide(Letters.status, context)).cut, 1)
    }))

  it.scoped("writes the result of every job once, however long the outage is", () =>
    Effect.gen(function*() {
      for (const seconds of outages) {
        let down = false
        const unless = <A, E>(effect: Effect.Effect<A, E>) =>
          Effect.suspend((): Effect.Effect<A, E | JobSourceError> => down ? unavailable("any") : effect)
        const written: Array<string> = []
        const world = yield* makeWorld({
          durable: true,
          lease: "10 seconds",
          wrap: (queue) => ({
            ...queue,
            claim: (limit) => unless(queue.claim(limit)),
            renew: (claims) => unless(queue.renew(claims)),
            retry: (claim, options) => unless(queue.retry(claim, options)),
            transact: (claim, writes, settlement) =>
              Effect.suspend(() => down ? Effect.fail(unavailable("any")) : queue.transact(claim, writes, settlement))
          })
        })
        const layer = Letters.layer({
          concurrency: 1,
          process: (letter, { complete }) =>
            Effect.zipRight(Effect.sleep("8 seconds"), complete(Effect.sync(() => written.push(letter))))
        })
        const other = (yield* makeWorld()).lifecycle.shutdown
        const pools = [yield* world.build(layer), yield* world.build(layer, other)]
        yield* Letters.offerAll(["a", "b", "c"]).pipe(Effect.provide(pools[0]!.context))
        yield* TestClock.adjust("4 seconds")
        down = true
        yield* TestClock.adjust(Duration.seconds(seconds))
        down = false
        yield* TestClock.adjust("2 minutes")
        assert.deepStrictEqual(written.sort(), ["a", "b", "c"], `${seconds} s`)
        const queue = yield* world.open("letters")
        assert.deepStrictEqual([yield* queue.size, yield* queue.deadLetters.list(9)], [0, []])
        for (const { stop } of pools) yield* stop
      }
    }))
})

describe("A fiber of a pool that dies", () => {
  it.scoped("is restarted, each time after twice the delay, varied by up to a fifth", () =>
    Effect.gen(function*() {
      let crashes = 4
      const events: Array<JobEvent> = []
      const { build, entries, lifecycle, note } = yield* makeWorld({ wrap: buggy("claim", () => crashes-- > 0) })
      const { context } = yield* build(Letters.layer({
        concurrency: 1,
        process: (letter) => note(letter),
        onEvent: (event) => Effect.sync(() => events.push(event))
      }))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(entries.length, 1)
      assert.deepStrictEqual(yield* lifecycle.shutdown.deadline, Option.none())
      const delays = crashesOf(events)
      assert.deepStrictEqual(delays.map(([fiber]) => fiber), Array(4).fill("dispatcher"))
      delays.forEach(([, delay], nth) => {
        assert.isAtLeast(delay!, 80 * 2 ** nth)
        assert.isAtMost(delay!, 120 * 2 ** nth)
      })
    }))

  it.scoped("is restarted as long as crashes are rare", () =>
    Effect.gen(function*() {
      let due = 0
      const { build, entries, lifecycle, note } = yield* makeWorld({
        wrap: buggy("claim", () => due-- > 0)
      })
      const { context } = yield* build(Letters.layer({ concurrency: 1, process: (letter) => note(letter) }))
      for (let crash = 0; crash < 20; crash++) {
        due = 1
        yield* Letters.offer("a").pipe(Effect.provide(context))
        yield* TestClock.adjust("20 seconds")
      }
      assert.strictEqual(entries.length, 20)
      assert.deepStrictEqual(yield* lifecycle.shutdown.deadline, Option.none())
    }))

  for (const [fiber, operation] of [["dispatcher", "claim"], ["heartbeat", "renew"]] as const) {
    it.scoped(`ends the service with exit code 1 after more than five crashes in a minute: the ${fiber}`, () =>
      Effect.gen(function*() {
        const events: Array<JobEvent> = []
        const memory = yield* JobSourceMemory.make({ durable: true, lease: "1 second" })
        const source = Layer.succeed(JobSource, {
          ...memory,
          open: (options) => Effect.map(memory.open(options), buggy(operation, () => true))
        })
        yield* Effect.flatMap(memory.open({ name: "letters" }), (queue) => queue.offer(["a"]))
        const app = yield* TestApp.start(
          Letters.layer({
            concurrency: 1,
            drainTimeout: "1 second",
            process: () => Effect.never,
            onEvent: (event) => Effect.sync(() => events.push(event))
          }).pipe(Layer.provide(source))
        )
        yield* TestClock.adjust("1 minute")
        const { cause, drains, exitCode, failure } = yield* app.report
        assert.deepStrictEqual([exitCode, cause, failure], [
          1,
          `letters: the ${fiber} keeps crashing`,
          `letters: the ${fiber} keeps crashing`
        ])
        assert.deepStrictEqual(drains.map(({ name }) => name), ["letters"])
        const crashes = crashesOf(events)
        assert.deepStrictEqual(crashes.map(([loop]) => loop), Array(6).fill(fiber))
        assert.isNull(crashes[5]![1])
      }))
  }
})
