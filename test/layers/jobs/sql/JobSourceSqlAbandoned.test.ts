import type { SqlClient } from "@effect/sql"
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, Scope } from "effect"
import { JobSource } from "../../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../../src/layers/jobs/WorkerPool.js"
import { take } from "../JobSourceWorld.js"
import { describeEngines, source } from "./JobSourceSqlWorld.js"

describeEngines("A job over SQL that ignores its interruption", (databases) => {
  const cases: ReadonlyArray<
    readonly [string, (sql: SqlClient.SqlClient, inside: Effect.Effect<unknown>) => Effect.Effect<unknown, unknown>]
  > = [
    [
      "its own transaction is rolled back",
      (sql, inside) => sql.withTransaction(Effect.all([sql`INSERT INTO abandoned VALUES ('first')`, inside]))
    ],
    [
      "its later statements are refused",
      (sql, inside) => Effect.zipRight(inside, sql`INSERT INTO abandoned VALUES ('first')`)
    ],
    ["its statement is cancelled, or has ended", (sql, inside) =>
      Effect.zipRight(
        Effect.fork(Effect.forever(sql`SELECT pg_sleep(0.05)`)),
        Effect.zipRight(inside, sql`INSERT INTO abandoned SELECT 'first' FROM pg_sleep(0.01)`)
      )]
  ]

  it.scopedLive.each(cases)("before it is handed back, %s", ([_, work]) =>
    Effect.gen(function*() {
      const [first, second] = yield* databases
      const name = `abandoned-${Math.random().toString(36).slice(2)}`
      class Jobs extends WorkerPool.Tag(name)<Jobs, string>() {}
      yield* first.sql`CREATE TABLE IF NOT EXISTS abandoned (what text)`
      yield* first.sql`DELETE FROM abandoned`
      const inside = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<unknown, unknown>()
      const scope = yield* Scope.make()
      const context = yield* Jobs.layer({
        concurrency: 1,
        drainTimeout: "10 millis",
        releaseTimeout: "200 millis",
        process: () =>
          Effect.zipRight(Deferred.succeed(inside, void 0), Deferred.await(goOn)).pipe(
            (wait) => work(first.sql, wait),
            Effect.onExit((exit) => Deferred.done(ended, exit)),
            Effect.uninterruptible
          )
      }).pipe(
        Layer.build,
        Effect.provideService(JobSource, yield* source(first, { pollInterval: "1 hour" })),
        Scope.extend(scope)
      )
      yield* Effect.provide(Jobs.offer("a"), context)
      yield* Deferred.await(inside)
      yield* Scope.close(scope, Exit.void)
      // Another process runs the job, at once, and before the abandoned one goes on.
      const claim = yield* take(yield* (yield* source(second)).open({ name, lease: undefined }))
      assert.strictEqual(claim.attempt, 1)
      yield* second.sql`INSERT INTO abandoned VALUES ('second')`
      yield* Deferred.succeed(goOn, void 0)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(Deferred.await(ended))))
      assert.deepStrictEqual(yield* second.sql`SELECT what FROM abandoned`, [{ what: "second" }])
    }))
})
