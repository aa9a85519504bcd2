import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Option, TestClock } from "effect"
import type { JobEvent } from "../../../src/layers/jobs/JobEvent.js"
import { type JobQueue, JobSource, JobSourceError } from "../../../src/layers/jobs/JobSource.js"
import * as JobSourceMemory from "../../../src/layers/jobs/JobSourceMemory.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import * as TestApp from "../../../src/testing/TestApp.js"
import { makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}

/** An engine whose claims, or renewals, die as often as it is told. */
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

describe("a fiber of a pool that dies", () => {
  it.scoped("is started again, each time after twice as long, a fifth more or less", () =>
    Effect.gen(function*() {
      let crashes = 4
      const events: Array<JobEvent> = []
      const { build, entries, lifecycle, note } = yield* makeWorld({ disturb: buggy("claim", () => crashes-- > 0) })
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

  it.scoped("is started again for as long as it is not too often", () =>
    Effect.gen(function*() {
      let due = 0
      const { build, entries, lifecycle, note } = yield* makeWorld({
        disturb: buggy("claim", () => due-- > 0)
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
    it.scoped(`more than five times a minute ends the service, exit 1: the ${fiber}`, () =>
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
        assert.deepStrictEqual(crashes.map(([who]) => who), Array(6).fill(fiber))
        assert.isNull(crashes[5]![1])
      }))
  }
})

describe("a source that is away while a job runs", () => {
  const away = new JobSourceError({ operation: "any", queue: "letters", cause: new Error("connection refused") })
  const outages = [2, 9, 30]

  it.scoped("neither loses nor doubles it, however long it is away", () =>
    Effect.gen(function*() {
      for (const seconds of outages) {
        let down = false
        const unless = <A, E>(effect: Effect.Effect<A, E>) =>
          Effect.suspend((): Effect.Effect<A, E | JobSourceError> => down ? away : effect)
        const written: Array<string> = []
        const world = yield* makeWorld({
          durable: true,
          lease: "10 seconds",
          disturb: (queue) => ({
            ...queue,
            claim: (limit) => unless(queue.claim(limit)),
            renew: (claims) => unless(queue.renew(claims)),
            retry: (claim, options) => unless(queue.retry(claim, options)),
            transact: (claim, writes, settlement) =>
              Effect.suspend(() => down ? Effect.fail(away) : queue.transact(claim, writes, settlement))
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
