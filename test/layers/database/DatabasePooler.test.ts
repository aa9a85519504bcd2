import { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { assert, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Logger, Option, Queue, Redacted, Stream } from "effect"
import * as Database from "../../../src/layers/database/Database.js"
import { JobSource } from "../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { openDatabase } from "../../kit/database.js"
import { describePgBouncer } from "../../kit/pgbouncer.js"
import { eventually } from "../../kit/until.js"
import { source } from "../jobs/sql/JobSourceSqlWorld.js"

describePgBouncer("Database behind PgBouncer", ({ postgres, url }) => {
  const query = (text: string) => Effect.promise(() => postgres.query(text))
  const fresh = (name: string) => query(`DROP TABLE IF EXISTS ${name}; CREATE TABLE ${name} (n int)`)

  /** The statements that the server runs for this test. */
  const running = query(
    "SELECT query FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()"
  )

  for (const mode of ["session", "transaction"] as const) {
    const open = (options: Parameters<typeof openDatabase>[1] = {}) =>
      openDatabase(url(mode), { maxConnections: 4, ...options })

    it.scopedLive(`in ${mode} mode, statements, transactions, streams and \`once\` work`, () =>
      Effect.gen(function*() {
        const { sql } = yield* open()
        yield* fresh("pooled")
        const many = Array.from({ length: 40 }, (_, n) => n)
        yield* Effect.forEach(many, (n) => sql.withTransaction(sql`INSERT INTO pooled VALUES (${n})`), {
          concurrency: "unbounded",
          discard: true
        })
        yield* Effect.ignore(
          sql.withTransaction(Effect.zipRight(sql`INSERT INTO pooled VALUES (100)`, Effect.fail("no")))
        )
        assert.deepStrictEqual(
          yield* Stream.runCollect(Stream.map(sql<{ n: number }>`SELECT n FROM pooled ORDER BY n`.stream, ({ n }) => n))
            .pipe(Effect.map((rows) => [...rows])),
          many
        )
        const writes = Database.once(`pooled in ${mode}`, sql`INSERT INTO pooled VALUES (200)`)
        const both = yield* Effect.all([writes, writes], { concurrency: 2 }).pipe(
          Effect.provideService(SqlClient.SqlClient, sql)
        )
        assert.strictEqual(both.filter(Option.isSome).length, 1)
      }))

    it.scopedLive(`in ${mode} mode, processes that migrate at the same time run each migration once`, () =>
      Effect.gen(function*() {
        yield* fresh("migrated")
        const migrations = Database.migrations({
          "0001_insert": Effect.flatMap(SqlClient.SqlClient, (sql) => sql`INSERT INTO migrated VALUES (1)`)
        }, { table: `migrations_${mode}` })
        const migrate = Effect.flatMap(
          open(),
          ({ sql }) => Effect.provideService(Layer.build(migrations), SqlClient.SqlClient, sql)
        )
        yield* Effect.all([migrate, migrate, migrate], { concurrency: "unbounded" })
        assert.deepStrictEqual(yield* query("SELECT n FROM migrated"), [{ n: 1 }])
      }))

    it.scopedLive(`in ${mode} mode, a statement that is interrupted is cancelled in the server`, () =>
      Effect.gen(function*() {
        const { sql } = yield* open()
        for (const work of [sql`SELECT pg_sleep(60)`, sql.withTransaction(sql`SELECT pg_sleep(60)`)]) {
          const fiber = yield* Effect.fork(work)
          yield* eventually("it runs", running, (rows) => rows.length === 1)
          yield* Fiber.interrupt(fiber)
          yield* eventually("it is cancelled", running, (rows) => rows.length === 0)
          assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
        }
      }))

    it.scopedLive(`in ${mode} mode, statements that are prepared, as the option says, run as they are written`, () =>
      Effect.gen(function*() {
        const services = yield* Effect.all(Array.from({ length: 3 }, () => open({ preparedStatements: true })))
        const round = Effect.forEach(services, ({ sql }, service) =>
          Effect.forEach([1, 2, 3, 4], (n) =>
            Effect.map(
              sql.unsafe(`SELECT $1::int * ${(service + 1) * 100 + n} AS n`, [n]),
              (rows) => assert.deepStrictEqual(rows, [{ n: n * ((service + 1) * 100 + n) }])
            ), { concurrency: "unbounded" }), { concurrency: "unbounded" })
        yield* Effect.repeatN(round, 10)
      }))

    it.scopedLive(`in ${mode} mode, a pool of jobs works`, () =>
      Effect.gen(function*() {
        class Pool extends WorkerPool.Tag(`pooled-${mode}`)<Pool, string>() {}
        const opened = yield* open()
        const done = yield* Queue.unbounded<string>()
        const pool = yield* Layer.build(Pool.layer({
          concurrency: 3,
          process: (name, { complete }) => Effect.zipRight(complete(Effect.void), Queue.offer(done, name))
        })).pipe(
          Effect.map(Context.get(Pool)),
          Effect.provideService(JobSource, yield* source(opened))
        )
        const names = Array.from({ length: 20 }, (_, n) => `job ${n}`)
        yield* Effect.forEach(names, (name) => pool.offer(name), { discard: true })
        assert.deepStrictEqual([...yield* Queue.takeN(done, 20)].sort(), [...names].sort())
      }))
  }

  it.scopedLive("in session mode, `listen` hears, and `reserve` is one connection", () =>
    Effect.gen(function*() {
      const { database, sql } = yield* openDatabase(url("session"))
      const heard = yield* Queue.unbounded<string>()
      yield* Effect.forkScoped(Stream.runForEach(database.listen("pooled"), (payload) => Queue.offer(heard, payload)))
      assert.strictEqual(yield* Queue.take(heard), "")
      yield* database.notify("pooled", "hello")
      assert.strictEqual(yield* Queue.take(heard), "hello")
      yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* sql.reserve
        yield* connection.execute("SET lastcall.mine = 'yes'", [], undefined)
        assert.deepStrictEqual(
          yield* connection.execute("SHOW lastcall.mine", [], undefined),
          [{ "lastcall.mine": "yes" }]
        )
      }))
    }))

  it.scopedLive("in transaction mode, `listen` says that it hears nothing: to an app as an error, to the library in one warning", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const warned = yield* Deferred.make<void>()
      const logger = Logger.make(({ logLevel, message }) => {
        if (logLevel.label !== "WARN") return
        lines.push(String(message))
        Deferred.unsafeDone(warned, Effect.void)
      })
      const context = yield* Layer.build(Database.layer({ url: Redacted.make(url("transaction")) }))
      const sql = Context.get(context, PgClient.PgClient)
      const why =
        "LISTEN hears nothing behind this pooler, which gives each transaction any connection (transaction pooling)"
      const error = yield* Effect.flip(Stream.runDrain(sql.listen("pooled")))
      assert.include(error.message, why)
      const heard: Array<string> = []
      const listening = yield* Context.get(context, Database.Database).listen("pooled").pipe(
        Stream.runForEach((payload) => Effect.sync(() => heard.push(payload))),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
        Effect.forkScoped
      )
      yield* Deferred.await(warned)
      assert.strictEqual(lines.length, 1)
      assert.include(lines[0], why)
      assert.deepStrictEqual([heard, listening.unsafePoll()], [[], null])
    }))

  it.scopedLive("in transaction mode, what is set in a transaction is there until its end", () =>
    Effect.gen(function*() {
      const { sql } = yield* openDatabase(url("transaction"))
      const mine = sql`SELECT current_setting('lastcall.mine', true) AS mine`
      assert.deepStrictEqual(
        yield* sql.withTransaction(Effect.zipRight(sql`SET LOCAL lastcall.mine = 'yes'`, mine)),
        [{ mine: "yes" }]
      )
      assert.deepStrictEqual(yield* sql.withTransaction(sql`SHOW idle_in_transaction_session_timeout`), [
        { idle_in_transaction_session_timeout: "1min" }
      ])
    }))
})
