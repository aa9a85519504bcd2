import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, TestClock } from "effect"
import type { JobQueue } from "../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { until } from "../../kit/until.js"
import { makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}

/** An engine that can renew leases while the event loop is blocked. */
const observed = (calls: Array<string>) => (queue: JobQueue): JobQueue => ({
  ...queue,
  whileBlocked: {
    hold: ({ id }) => {
      calls.push(`holds ${id}`)
      return () => void calls.push(`lets go of ${id}`)
    },
    limit: (within) => void calls.push(`renews for ${Duration.format(within)}`)
  }
})

/** A pool that runs one at a time of these letters, and has claimed `c` ahead. `B` takes 50 ms, the others 10. */
const claimsAhead = Effect.gen(function*() {
  const calls: Array<string> = []
  const { build, open } = yield* makeWorld({ durable: true, wrap: observed(calls) })
  const queue = yield* open("letters")
  yield* queue.offer([..."aBc"], { ids: [..."aBc"] })
  const pool = yield* build(Letters.layer({
    concurrency: 1,
    process: (letter) => Effect.sleep(letter === "B" ? "50 millis" : "10 millis")
  }))
  yield* until("a job runs", Effect.sync(() => calls.includes("holds a")))
  yield* TestClock.adjust("10 millis")
  yield* until("the next is claimed", Effect.sync(() => calls.includes("holds c")))
  return { ...pool, calls, queue }
})

describe("The leases of jobs that may block the event loop", () => {
  it.scoped("are held from before each job begins until it has ended, and in a drain no longer than its bound", () =>
    Effect.gen(function*() {
      const calls: Array<string> = []
      const { build } = yield* makeWorld({ durable: true, wrap: observed(calls) })
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 2,
        drainTimeout: "7 seconds",
        process: (letter) =>
          Effect.zipRight(
            Effect.sync(() => calls.push(`runs ${letter}`)),
            letter === "fails" ? Effect.fail("no") : Effect.sleep("5 seconds")
          )
      }))
      yield* Effect.forEach(["fails", "lasts"], (letter) => Letters.offer(letter, { id: letter })).pipe(
        Effect.provide(context)
      )
      yield* until("one job is in flight", Effect.map(Letters.status, (_) => _.inFlight === 1)).pipe(
        Effect.provide(context)
      )
      const stopping = yield* Effect.fork(stop)
      yield* until("the drain has begun", Effect.sync(() => calls.at(-1)?.startsWith("renews") === true))
      yield* TestClock.adjust("5 seconds")
      yield* stopping.await
      assert.deepStrictEqual(calls, [
        "holds fails",
        "holds lasts",
        "runs fails",
        "lets go of fails",
        "runs lasts",
        "renews for 7s",
        "lets go of lasts"
      ])
    }))

  it.scoped("are held for a job that is claimed ahead, before it begins", () =>
    Effect.gen(function*() {
      const { calls } = yield* claimsAhead
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(calls, [
        "holds a",
        "lets go of a",
        "holds c",
        "holds B",
        "lets go of B",
        "lets go of c",
        "holds c",
        "lets go of c"
      ])
    }))

  it.scoped("are let go of when a job that is claimed ahead is cancelled", () =>
    Effect.gen(function*() {
      const { calls, queue } = yield* claimsAhead
      assert.strictEqual(yield* queue.cancel(["c"]), 1)
      assert.deepStrictEqual(calls.slice(2), ["holds c", "holds B", "lets go of c"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(calls.slice(5), ["lets go of B"])
    }))

  it.scoped("are let go of when a job that is claimed ahead is handed back", () =>
    Effect.gen(function*() {
      const { calls, stop } = yield* claimsAhead
      const stopping = yield* Effect.fork(stop)
      yield* until("it is let go of", Effect.sync(() => calls.includes("lets go of c")))
      yield* TestClock.adjust("1 second")
      yield* stopping.await
      assert.strictEqual(calls.at(-1), "lets go of B")
    }))
})
