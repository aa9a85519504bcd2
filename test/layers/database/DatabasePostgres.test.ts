import type { SqlClient } from "@effect/sql"
import { assert, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Either, Exit, Fiber, Stream } from "effect"
import pg from "pg"
import { vi } from "vitest"
import { openDatabase } from "../../kit/database.js"
import { describePostgresServer } from "../../kit/postgres.js"
import { likePooler } from "../../kit/postgresProxy.js"
import { eventually } from "../../kit/until.js"

/** The duration of an effect, in milliseconds of the wall clock. */
const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.timed(effect), ([duration, value]) => [Duration.toMillis(duration), value] as const)

describePostgresServer("Database on PostgreSQL: in trouble", (server) => {
  const open = (options: Parameters<typeof openDatabase>[1] = {}) => openDatabase(server.url, options)

  /** The statements of the service that the server is running. */
  const running = Effect.promise(() =>
    server.query("SELECT query FROM pg_stat_activity WHERE application_name = 'lastcall' AND state = 'active'")
  )

  /** All connections of the service. */
  const connected = Effect.promise(() =>
    server.query("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'lastcall%'")
  )

  const fresh = (name: string) =>
    Effect.promise(() => server.query(`DROP TABLE IF EXISTS ${name}; CREATE TABLE ${name} (n integer)`))

  it.scopedLive("cancelling a statement affects no other statement", () =>
    Effect.gen(function*() {
      const { sql } = yield* open({ maxConnections: 1 })
      const round = Effect.gen(function*() {
        const fiber = yield* Effect.fork(sql`SELECT pg_sleep(60)`)
        const next = yield* Effect.fork(sql`SELECT 1 AS n`)
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(yield* Fiber.join(next), [{ n: 1 }])
      })
      yield* Effect.repeatN(round, 30)
    }))

  it.scopedLive("a stream outside of a transaction is one: committed at its end, rolled back if its consumer fails", () =>
    Effect.gen(function*() {
      const { sql } = yield* open({ maxConnections: 1 })
      yield* fresh("streamed")
      const insert = (from: number) =>
        sql<{ n: number }>`INSERT INTO streamed SELECT generate_series(${from}::int, ${from + 599}::int) RETURNING n`
          .stream
      const failing = Stream.runForEach(insert(1), ({ n }) => n === 300 ? Effect.fail("no") : Effect.void)
      assert.strictEqual(yield* Effect.flip(failing), "no")
      yield* Effect.timeoutOption(Stream.runForEach(insert(1), () => Effect.never), "50 millis")
      assert.strictEqual(yield* Stream.runCount(Stream.take(insert(1000), 300)), 300)
      assert.strictEqual(yield* Stream.runCount(insert(2000)), 600)
      assert.deepStrictEqual(
        yield* sql`SELECT min(n), count(*)::int FROM streamed`,
        [{ min: 1000, count: 1200 }]
      )
    }))

  it.scopedLive("a statement that takes longer than `statementTimeout` is cancelled and fails, also where it cannot be interrupted", () =>
    Effect.gen(function*() {
      const { sql } = yield* open({ maxConnections: 1, statementTimeout: "200 millis" })
      const slow = sql`SELECT pg_sleep(60)`
      for (const work of [slow, sql.withTransaction(slow), Effect.uninterruptible(slow)]) {
        const error = yield* Effect.flip(work)
        assert.include(error.message, "The statement took longer than 200ms")
      }
      assert.deepStrictEqual(yield* running, [])
      assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
    }))

  it.scopedLive("the server notices within half a minute that a client is gone, unless a pooler is in between", () =>
    Effect.gen(function*() {
      const settings = (sql: SqlClient.SqlClient) =>
        Effect.map(
          sql`SELECT current_setting('tcp_user_timeout') || ' ' || current_setting('tcp_keepalives_idle') AS both`,
          ([row]) => row!["both"]
        )
      const { database, sql } = yield* open({ maxConnections: 2 })
      const two = sql.withTransaction(Effect.zip(
        settings(sql),
        Effect.scoped(Effect.flatMap(
          sql.reserve,
          (connection) => connection.execute("SHOW tcp_user_timeout", [], undefined)
        ))
      ))
      assert.deepStrictEqual(yield* two, ["30000 10", [{ tcp_user_timeout: "30000" }]])
      assert.strictEqual(yield* settings(database.reserved), "30000 10")
      const pooler = yield* Effect.acquireRelease(
        Effect.promise(() => likePooler(server.url)),
        ({ close }) => Effect.sync(() => void close())
      )
      assert.notInclude(String(yield* settings((yield* openDatabase(pooler.url)).sql)), "30000")
    }))

  it.scopedLive("the reserved client does not wait behind work", () =>
    Effect.gen(function*() {
      const { database, sql } = yield* open({ maxConnections: 1 })
      yield* fresh("reserved")
      const inside = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const holder = yield* Effect.fork(
        sql.withTransaction(Effect.zipRight(Deferred.succeed(inside, void 0), Deferred.await(go)))
      )
      yield* Deferred.await(inside)
      assert.deepStrictEqual(yield* database.reserved`SELECT 1 AS n`, [{ n: 1 }])
      yield* Deferred.succeed(go, void 0)
      yield* Fiber.join(holder)
      // It does not join a transaction of the other client either.
      yield* Effect.ignore(
        sql.withTransaction(Effect.zipRight(database.reserved`INSERT INTO reserved VALUES (1)`, Effect.fail("no")))
      )
      assert.deepStrictEqual(yield* sql`SELECT n FROM reserved`, [{ n: 1 }])
    }))

  it.scopedLive("the release cancels statements, and leaves neither connections nor statements in the server", () =>
    Effect.gen(function*() {
      const { database, release, sql } = yield* open({ drainTimeout: "50 millis" })
      yield* fresh("released")
      const listening = yield* Deferred.make<void>()
      yield* Effect.forkDaemon(
        Stream.runForEach(database.listen("channel"), () => Deferred.succeed(listening, void 0))
      )
      yield* Deferred.await(listening)
      const statement = yield* Effect.forkDaemon(sql`INSERT INTO released SELECT 1 FROM pg_sleep(60)`)
      const transaction = yield* Effect.forkDaemon(
        sql.withTransaction(Effect.zipRight(sql`INSERT INTO released VALUES (2)`, sql`SELECT pg_sleep(60)`))
      )
      yield* eventually("two statements run", running, (rows) => rows.length === 2)
      const [took, report] = yield* timed(release)
      assert.deepStrictEqual([report.outcome, report.cut], ["Interrupted", 2])
      assert.isBelow(took, 8_000)
      yield* eventually("every connection is closed", connected, (rows) => rows.length === 0)
      assert.isTrue(Exit.isFailure(yield* Fiber.await(statement)))
      assert.isTrue(Exit.isFailure(yield* Fiber.await(transaction)))
      assert.deepStrictEqual(yield* Effect.promise(() => server.query("SELECT n FROM released")), [])
    }))

  for (const end of ["stop", "kill"] as const) {
    it.scopedLive(`a server that ends (${end}) and returns: errors meanwhile, then normal operation`, () =>
      Effect.gen(function*() {
        const { database, sql } = yield* open({ maxConnections: 3, connectTimeout: "1 second" })
        yield* fresh("outage")
        const heard: Array<string> = []
        yield* Effect.forkScoped(
          Stream.runForEach(database.listen("outage"), (payload) => Effect.sync(() => heard.push(payload)))
        )
        yield* eventually("it listens", Effect.sync(() => heard.length === 1))
        // One connection is idle, one in a transaction, one busy.
        yield* Effect.all([sql`SELECT 1`, sql`SELECT pg_sleep(0.05)`, sql`SELECT pg_sleep(0.05)`], { concurrency: 3 })
        const inside = yield* Deferred.make<void>()
        const go = yield* Deferred.make<void>()
        const transaction = yield* Effect.fork(
          sql.withTransaction(Effect.all([
            sql`INSERT INTO outage VALUES (1)`,
            Deferred.succeed(inside, void 0),
            Deferred.await(go),
            sql`INSERT INTO outage VALUES (2)`
          ]))
        )
        const busy = yield* Effect.fork(sql`SELECT pg_sleep(60)`)
        yield* Deferred.await(inside)
        yield* eventually("one statement runs", running, (rows) => rows.length === 1)
        yield* Effect.promise(server[end])
        yield* Deferred.succeed(go, void 0)
        assert.strictEqual((yield* Effect.flip(Fiber.join(transaction)))._tag, "SqlError")
        assert.strictEqual((yield* Effect.flip(Fiber.join(busy)))._tag, "SqlError")
        // A connection whose end was not noticed yet may be leased once more.
        yield* eventually(
          "connections are refused",
          Effect.either(sql`SELECT 1`),
          (answer) => Either.isLeft(answer) && answer.left.message.includes("ECONNREFUSED")
        )
        yield* Effect.promise(server.start)
        assert.deepStrictEqual(yield* sql`SELECT n FROM outage`, [])
        assert.deepStrictEqual(yield* database.reserved`SELECT 1 AS n`, [{ n: 1 }])
        yield* eventually("it listens again", Effect.sync(() => heard.length === 2))
        yield* database.notify("outage", "back")
        yield* eventually("the notification arrives", Effect.sync(() => heard.length === 3))
        assert.deepStrictEqual(heard, ["", "", "back"])
      }))
  }

  it.scopedLive("the server ends an idle transaction, which releases its locks", () =>
    Effect.gen(function*() {
      yield* fresh("still")
      const { sql } = yield* open({ idleTransactionTimeout: "200 millis" })
      const limit = (sql: SqlClient.SqlClient) =>
        Effect.map(sql`SHOW idle_in_transaction_session_timeout`, ([row]) => Object.values(row!)[0])
      yield* sql`INSERT INTO still VALUES (1)`
      const inside = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const frozen = yield* Effect.fork(sql.withTransaction(Effect.all([
        sql`UPDATE still SET n = 2`,
        Deferred.succeed(inside, void 0),
        Deferred.await(go),
        sql`UPDATE still SET n = 3`
      ])))
      yield* Deferred.await(inside)
      yield* sql`UPDATE still SET n = n + 10`
      yield* Deferred.succeed(go, void 0)
      assert.isTrue(Exit.isFailure(yield* Fiber.await(frozen)))
      assert.deepStrictEqual(yield* sql`SELECT n FROM still`, [{ n: 11 }])
      assert.strictEqual(yield* sql.withTransaction(limit(sql)), "200ms")
      assert.strictEqual(yield* limit(sql), "0")
      const { sql: unlimited } = yield* open({ idleTransactionTimeout: Duration.infinity })
      assert.strictEqual(yield* unlimited.withTransaction(limit(unlimited)), "0")
    }))

  it.scopedLive("a connection that is lost while it is leased does not end the process", () =>
    Effect.gen(function*() {
      const { sql } = yield* open({})
      // Without a listener, emitting an error throws it, here out of the test's own callback.
      type Connect = (done: (error: Error | undefined, client: pg.PoolClient | undefined) => void) => void
      const connect = pg.Pool.prototype.connect as Connect
      const dying = vi.spyOn(pg.Pool.prototype, "connect").mockImplementation(
        (function(this: pg.Pool, done: Parameters<Connect>[0]) {
          connect.call(this, (error, client) => {
            client?.emit("error", new Error("terminating connection due to administrator command"))
            done(error, client)
          })
        }) as never
      )
      yield* Effect.addFinalizer(() => Effect.sync(() => dying.mockRestore()))
      assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
    }))

  it.scopedLive(
    "a frozen server delays neither an interruption nor the release, and commits nothing",
    () =>
      Effect.gen(function*() {
        const { release, sql } = yield* open({ drainTimeout: "50 millis", releaseTimeout: "500 millis" })
        yield* fresh("frozen")
        const inside = yield* Deferred.make<void>()
        const go = yield* Deferred.make<void>()
        const open_ = yield* Effect.forkDaemon(sql.withTransaction(Effect.all([
          sql`INSERT INTO frozen VALUES (1)`,
          Deferred.succeed(inside, void 0),
          Deferred.await(go)
        ])))
        yield* Deferred.await(inside)
        const idle = yield* Effect.fork(sql`SELECT pg_sleep(60)`)
        yield* eventually("one statement runs", running, (rows) => rows.length === 1)
        yield* Effect.acquireUseRelease(
          Effect.sync(server.freeze),
          () =>
            Effect.gen(function*() {
              const [interrupted] = yield* timed(Fiber.interrupt(idle))
              assert.isBelow(interrupted, 7000)
              const [released, report] = yield* timed(release)
              assert.isBelow(released, 3000)
              assert.strictEqual(report.outcome, "Abandoned")
              yield* Deferred.succeed(go, void 0)
              assert.strictEqual((yield* Effect.flip(Fiber.join(open_)))._tag, "SqlError")
            }),
          () => Effect.sync(server.thaw)
        )
        yield* eventually("every connection is closed", connected, (rows) => rows.length === 0)
        assert.deepStrictEqual(yield* Effect.promise(() => server.query("SELECT n FROM frozen")), [])
      }),
    60_000
  )
})
