import { assert, describe, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import type { JobQueue } from "../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { until } from "../../kit/until.js"
import { makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}

/** A pool that runs one at a time of these letters, and what happened. Letters take 10 ms, those in capitals a second. */
const start = (letters: string, options: { readonly durable: boolean } = { durable: true }) =>
  Effect.gen(function*() {
    const ids = (some: ReadonlyArray<{ readonly id: string }>) => some.map(({ id }) => id).join(" ")
    const world = yield* makeWorld({
      ...options,
      wrap: (queue): JobQueue => ({
        ...queue,
        claim: (limit, options) =>
          Effect.tap(queue.claim(limit, options), (claims) => world.note(`claims ${ids(claims)}`)),
        handBack: (claims) => Effect.zipLeft(queue.handBack(claims), world.note(`hands back ${ids(claims)}`))
      })
    })
    const queue = yield* world.open("letters")
    yield* queue.offer([...letters], { ids: [...letters] })
    const pool = yield* world.build(Letters.layer({
      concurrency: 1,
      process: (letter) =>
        world.note(`starts ${letter}`).pipe(
          Effect.zipRight(Effect.sleep(letter === letter.toUpperCase() ? "1 second" : "10 millis")),
          Effect.zipLeft(world.note(`ends ${letter}`))
        )
    }))
    yield* until("a job runs", Effect.map(Letters.status, ({ inFlight }) => inFlight === 1)).pipe(
      Effect.provide(pool.context)
    )
    return { ...world, ...pool, queue }
  })

describe("A pool whose jobs are short", () => {
  it.scoped("claims more jobs than may run, and the next ones while the ones before run, once it has seen how long they take", () =>
    Effect.gen(function*() {
      const { entries } = yield* start("abcd")
      yield* TestClock.adjust("40 millis")
      assert.deepStrictEqual(entries, [
        "0s claims a",
        "0s starts a",
        "0.01s ends a",
        "0.01s claims b c",
        "0.01s starts b",
        "0.02s ends b",
        "0.02s starts c",
        "0.02s claims d",
        "0.03s ends c",
        "0.03s starts d",
        "0.03s claims ",
        "0.04s ends d",
        "0.04s claims "
      ])
    }))

  it.scoped("hands back after 100 ms what it has claimed and has no room for, so that another process can run it", () =>
    Effect.gen(function*() {
      const { entries, queue } = yield* start("aBc")
      yield* TestClock.adjust("10 millis")
      yield* until("the next is claimed", Effect.sync(() => entries.includes("0.01s claims B c")))
      yield* TestClock.adjust("99 millis")
      assert.deepStrictEqual(yield* queue.claim(9), [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual((yield* queue.claim(9)).map(({ attempt, id }) => `${id}#${attempt}`), ["c#1"])
      assert.deepStrictEqual(entries.slice(2), [
        "0.01s ends a",
        "0.01s claims B c",
        "0.01s starts B",
        "0.11s hands back c"
      ])
    }))

  it.scoped("hands back at once what has not started when it quiesces", () =>
    Effect.gen(function*() {
      const { entries, queue, reports, stop } = yield* start("aBc")
      yield* TestClock.adjust("10 millis")
      yield* until("the next is claimed", Effect.sync(() => entries.includes("0.01s claims B c")))
      const stopping = yield* Effect.fork(stop)
      yield* until("it is handed back", Effect.sync(() => entries.includes("0.01s hands back c")))
      assert.strictEqual((yield* queue.claim(9)).length, 1)
      yield* TestClock.adjust("1 second")
      yield* stopping.await
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 1, handedBack: 1, cut: 0 }
      ])
    }))

  it.scoped("does not start a job that is cancelled after its claim", () =>
    Effect.gen(function*() {
      const { entries, queue } = yield* start("aBc")
      yield* TestClock.adjust("10 millis")
      yield* until("the next is claimed", Effect.sync(() => entries.includes("0.01s claims B c")))
      assert.strictEqual(yield* queue.cancel(["c"]), 1)
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(entries.slice(3), [
        "0.01s claims B c",
        "0.01s starts B",
        "1.01s ends B",
        "1.01s claims "
      ])
    }))

  it.scoped("claims none ahead over a queue in memory, whose claims cost nothing", () =>
    Effect.gen(function*() {
      const { entries } = yield* start("abc", { durable: false })
      yield* TestClock.adjust("10 millis")
      yield* until("the next runs", Effect.sync(() => entries.includes("0.01s starts b")))
      assert.deepStrictEqual(entries.slice(2), ["0.01s ends a", "0.01s claims b", "0.01s starts b"])
    }))
})
