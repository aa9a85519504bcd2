import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Scope, TestClock } from "effect"
import { makeOrphanTurn } from "../../../src/layers/jobs/internal/orphanTurn.js"
import type { JobEvent } from "../../../src/layers/jobs/JobEvent.js"
import { type JobQueue, JobSource } from "../../../src/layers/jobs/JobSource.js"
import * as JobSourceMemory from "../../../src/layers/jobs/JobSourceMemory.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}
class Parcels extends WorkerPool.Tag("parcels")<Parcels, string>() {}

const operations = ["claim", "transact", "retry", "deadLetter", "handBack", "renew"] as const

const succeeded = (ids: Array<string>) => (event: JobEvent): Effect.Effect<void> =>
  Effect.sync(() => {
    if (event._tag === "Succeeded") ids.push(event.id)
  })

/** A store, and processes over it that can die: whatever they ask for then never comes. */
const makeStore = Effect.gen(function*() {
  const source = yield* JobSourceMemory.make({ durable: true, lease: "10 seconds" })
  const alive = { process: 0 }
  const start = <A>(pools: Layer.Layer<A, unknown, JobSource>) =>
    Effect.gen(function*() {
      const own = ++alive.process
      const mortal = (queue: JobQueue): JobQueue => ({
        ...queue,
        ...Object.fromEntries(operations.map((name) => [
          name,
          (...args: ReadonlyArray<never>) =>
            Effect.suspend((): Effect.Effect<unknown, unknown> =>
              own === alive.process
                ? (queue[name] as (...args: ReadonlyArray<never>) => Effect.Effect<unknown, unknown>)(...args)
                : Effect.never
            )
        ]))
      })
      const process = {
        ...source,
        orphanTurn: makeOrphanTurn(),
        open: (options: Parameters<typeof source.open>[0]) => Effect.map(source.open(options), mortal)
      }
      yield* Layer.build(pools).pipe(
        Effect.provideService(JobSource, process),
        Effect.provideService(Scope.Scope, yield* Scope.make())
      )
      return own
    })
  return {
    source,
    start,
    /** Ends the process that runs. */
    kill: Effect.sync(() => void alive.process++)
  }
})

describe("A job that ends its process", () => {
  it.scoped("costs each job beside it one attempt, in all pools of the process, and becomes a dead letter alone", () =>
    Effect.gen(function*() {
      const { kill, source, start } = yield* makeStore
      const done: Array<string> = []
      const settings = (seconds: number) => ({
        concurrency: 8,
        process: (job: string) =>
          job === "killer"
            ? Effect.zipRight(Effect.sleep("5 seconds"), Effect.zipRight(kill, Effect.never))
            : Effect.sleep(Duration.seconds(seconds)),
        onEvent: succeeded(done)
      })
      const pools = Layer.merge(Letters.layer(settings(8)), Parcels.layer(settings(8)))
      const letters = yield* source.open({ name: "letters" })
      const parcels = yield* source.open({ name: "parcels" })
      yield* letters.offer(["killer", ..."abcdefg"], { ids: ["killer", ..."abcdefg"] })
      yield* parcels.offer([..."hijklmn"], { ids: [..."hijklmn"] })
      let lives = 0
      while ((yield* letters.size) + (yield* parcels.size) > 0) {
        assert.isBelow(++lives, 20)
        yield* start(pools)
        yield* TestClock.adjust("5 minutes")
        // The leases of the dead process run out.
        yield* kill
        yield* TestClock.adjust("20 seconds")
        yield* letters.claim(0)
        yield* parcels.claim(0)
      }
      const dead = [...yield* letters.deadLetters.list(99), ...yield* parcels.deadLetters.list(99)]
      assert.deepStrictEqual(dead.map(({ payload }) => payload), ["killer"])
      assert.deepStrictEqual(done.sort(), [..."abcdefghijklmn"])
      assert.strictEqual(lives, 6)
    }))

  it.scoped("holds up no job that is no orphan", () =>
    Effect.gen(function*() {
      const { kill, source, start } = yield* makeStore
      const done: Array<string> = []
      const pool = Letters.layer({
        concurrency: 3,
        process: (job) => Effect.sleep(job.startsWith("long") ? "10 minutes" : "1 second"),
        onEvent: succeeded(done)
      })
      const letters = yield* source.open({ name: "letters" })
      const long = ["long 1", "long 2", "long 3"]
      yield* letters.offer(long, { ids: long })
      yield* start(pool)
      yield* TestClock.adjust("1 minute")
      yield* kill
      yield* TestClock.adjust("20 seconds")
      yield* letters.offer([..."abcdef"], { ids: [..."abcdef"] })
      yield* start(pool)
      yield* TestClock.adjust("9 minutes")
      assert.deepStrictEqual(done.sort(), [..."abcdef"])
      yield* TestClock.adjust("22 minutes")
      assert.deepStrictEqual(done.slice(6), long)
    }))

  it.scoped("waits for another orphan for ten minutes at most", () =>
    Effect.gen(function*() {
      const { kill, source, start } = yield* makeStore
      const done: Array<string> = []
      const pool = Letters.layer({
        concurrency: 3,
        process: (job) => job === "a" ? Effect.never : Effect.sleep("1 minute"),
        onEvent: succeeded(done)
      })
      const letters = yield* source.open({ name: "letters" })
      yield* letters.offer([..."abc"], { ids: [..."abc"] })
      yield* start(pool)
      yield* TestClock.adjust("30 seconds")
      yield* kill
      yield* TestClock.adjust("20 seconds")
      yield* start(pool)
      yield* TestClock.adjust("9 minutes")
      assert.deepStrictEqual(done, [])
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(done, ["b"])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(done, ["b", "c"])
    }))

  it.scoped("does not wait until the queue of its pool is empty", () =>
    Effect.gen(function*() {
      const { kill, source, start } = yield* makeStore
      const done: Array<string> = []
      const letters = yield* source.open({ name: "letters" })
      const orphans = ["orphan 1", "orphan 2", "orphan 3"]
      const endless = Letters.layer({
        concurrency: 3,
        process: (job) =>
          Effect.zipRight(
            Effect.sleep("80 millis"),
            orphans.includes(job) ? Effect.void : Effect.orDie(letters.offer([job]))
          ),
        onEvent: succeeded(done)
      })
      yield* letters.offer(orphans, { ids: orphans })
      yield* start(Letters.layer({ concurrency: 3, process: () => Effect.never }))
      yield* TestClock.adjust("1 second")
      yield* kill
      yield* letters.offer(Array.from({ length: 20 }, () => "endless"))
      yield* start(endless)
      // The leases of the dead process run out while this one is busy.
      for (let turn = 0; turn < 140; turn++) yield* TestClock.adjust("80 millis")
      assert.isAbove(done.length, 400)
      assert.deepStrictEqual(done.filter((id) => orphans.includes(id)), orphans)
    }))
})
