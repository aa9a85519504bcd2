import { SqlClient } from "@effect/sql"
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Either, Fiber, Layer, Stream, TestClock } from "effect"
import * as Database from "../../../src/layers/database/Database.js"
import { openDatabase } from "../../kit/database.js"
import { describePostgres } from "../../kit/postgres.js"
import { forgetful } from "../../kit/postgresProxy.js"
import { eventually } from "../../kit/until.js"
import { source } from "../jobs/sql/JobSourceSqlWorld.js"

describePostgres("Database on PostgreSQL, when the network forgets its connections without a word", (postgres) => {
  const behindProxy = (maxConnections: number) =>
    Effect.gen(function*() {
      const proxy = yield* Effect.acquireRelease(
        Effect.promise(() => forgetful(postgres.url)),
        ({ close }) => Effect.promise(close)
      )
      return { proxy, ...yield* openDatabase(proxy.url, { maxConnections }) }
    })

  /** Whether a fiber has ended, after four more seconds. */
  const afterALook = <A, E>(fiber: Fiber.RuntimeFiber<A, E>) =>
    Effect.zipRight(TestClock.adjust("4 seconds"), Effect.sync(() => fiber.unsafePoll() !== null))

  it.scoped(
    "every statement loses its connection, and one that the server works on goes on",
    () =>
      Effect.gen(function*() {
        const opened = yield* behindProxy(8)
        const { proxy, sql } = opened
        const jobs = yield* Effect.flatMap(source(opened), ({ open }) => open({ name: "silent" }))
        yield* sql`CREATE TABLE rows (n int)`
        const inDatabase = <A, E>(work: Effect.Effect<A, E, SqlClient.SqlClient>) =>
          Effect.provideService(work, SqlClient.SqlClient, sql)
        const migrations = Database.migrations({
          "0001_add": Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT 1`)
        })
        const works: ReadonlyArray<readonly [name: string, work: Effect.Effect<unknown, unknown>]> = [
          ["a statement", sql`SELECT 1`],
          ["once", inDatabase(Database.once("key", sql`INSERT INTO rows VALUES (1)`))],
          ["a migration", inDatabase(Effect.scoped(Layer.build(migrations)))],
          ["a stream", Stream.runDrain(sql`SELECT 1`.stream)],
          ["an offer", jobs.offer(["job"])],
          ["a commit", Effect.void],
          ["a rollback", Effect.fail("rolled back")]
        ]
        const go = yield* Deferred.make<void>()
        let open = 0
        const fibers = yield* Effect.forEach(works, ([, work]) =>
          Effect.fork(Effect.either(sql.withTransaction(Effect.all([
            sql`INSERT INTO rows VALUES (2)`,
            Effect.sync(() =>
              open++
            ),
            Deferred.await(go),
            work
          ])))))
        yield* eventually("every transaction is open", Effect.sync(() => open === works.length))
        proxy.forget()
        yield* Deferred.succeed(go, void 0)
        // It waits for a lock on a connection that was made afterwards.
        yield* Effect.promise(() => postgres.query("CREATE TABLE locked (n int)"))
        const other = yield* openDatabase(postgres.url)
        const held = yield* Deferred.make<void>()
        const release = yield* Deferred.make<void>()
        // A drain would wait for it in time that stands still.
        yield* Effect.addFinalizer(() => Deferred.succeed(release, void 0))
        yield* Effect.fork(other.sql.withTransaction(Effect.all([
          other.sql`LOCK TABLE locked`,
          Deferred.succeed(held, void 0),
          Deferred.await(release)
        ])))
        yield* Deferred.await(held)
        const waiting = yield* Effect.fork(sql`SELECT count(*) FROM locked`)

        for (const [index, fiber] of fibers.entries()) {
          yield* eventually(`${works[index]![0]} has failed`, afterALook(fiber))
          assert.isTrue(Either.isLeft(yield* Fiber.join(fiber)))
        }
        yield* Effect.repeatN(afterALook(waiting), 30)
        assert.isNull(waiting.unsafePoll())
        yield* Deferred.succeed(release, void 0)
        assert.deepStrictEqual(yield* Fiber.join(waiting), [{ count: "0" }])
        assert.deepStrictEqual(yield* sql`SELECT n FROM rows`, [])
      }),
    120_000
  )
})
