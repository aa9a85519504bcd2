import { assert, it } from "@effect/vitest"
import { Effect, Layer, Option, Queue } from "effect"
import { JobSource } from "../../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../../src/layers/jobs/WorkerPool.js"
import { openDatabase } from "../../../kit/database.js"
import { describePostgres } from "../../../kit/postgres.js"
import { forgetful } from "../../../kit/postgresProxy.js"
import { source } from "./JobSourceSqlWorld.js"

/** What is promised, and what a busy machine adds. */
const atTheLatest = 15_000 + 5_000

describePostgres("JobSourceSql, when the network forgets its connections without a word", (postgres) => {
  class Pool extends WorkerPool.Tag("forgotten")<Pool, string>() {}

  it.scopedLive(
    "a pool is back at work within 15 seconds, and says meanwhile what is wrong",
    () =>
      Effect.gen(function*() {
        const proxy = yield* Effect.acquireRelease(
          Effect.promise(() => forgetful(postgres.url)),
          ({ close }) => Effect.promise(close)
        )
        const behindProxy = yield* openDatabase(proxy.url, { maxConnections: 8 })
        const direct = yield* openDatabase(postgres.url, { maxConnections: 2 })
        const done = yield* Queue.unbounded<string>()
        const pool = yield* Layer.build(Pool.layer({
          concurrency: 4,
          process: (name, { complete }) => Effect.zipRight(complete(Effect.void), Queue.offer(done, name))
        })).pipe(
          Effect.flatMap((context) => Effect.provide(Pool, context)),
          Effect.provideService(JobSource, yield* source(behindProxy))
        )
        const elsewhere = yield* Effect.flatMap(source(direct), ({ open }) => open({ name: "forgotten" }))
        yield* elsewhere.offer(["before"])
        assert.strictEqual(yield* Queue.take(done), "before")
        // Every connection of the pool is open, and then idle.
        yield* Effect.all(Array.from({ length: 8 }, () => behindProxy.sql`SELECT pg_sleep(0.2)`), {
          concurrency: "unbounded"
        })

        const forgotten = proxy.forget()
        assert.isAtLeast(forgotten, 10)
        const from = performance.now()
        yield* elsewhere.offer(["after"])
        const conditions = new Set<string>()
        const look = Effect.map(pool.status, ({ condition }) => void conditions.add(condition))
        yield* Effect.raceFirst(
          Queue.take(done),
          Effect.forever(Effect.zipLeft(look, Effect.sleep("100 millis")))
        ).pipe(
          Effect.timeoutOption("40 seconds"),
          Effect.map((name) => assert.deepStrictEqual(name, Option.some("after")))
        )
        const elapsed = performance.now() - from
        assert.isBelow(elapsed, atTheLatest)
        assert.deepStrictEqual([...conditions], [
          "Running",
          "Waiting for the source: forgotten: claim failed: Connection terminated unexpectedly"
        ])
      }),
    60_000
  )
})
