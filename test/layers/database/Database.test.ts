import { SqlClient } from "@effect/sql"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Deferred, type Duration, Effect, Exit, Fiber, Layer, Option, Scope, Stream } from "effect"
import * as Database from "../../../src/layers/database/Database.js"
import { openDatabase, type Opened } from "../../kit/database.js"
import { databaseFolder } from "../../kit/pglite.js"
import { describePostgres } from "../../kit/postgres.js"
import { splitErrors } from "../../kit/postgresProxy.js"

// One suite over both databases.
const conformance = (url: () => Promise<string>) => {
  const options = { maxConnections: 2 }
  const scope = Effect.runSync(Scope.make())
  let shared: Opened
  beforeAll(async () => {
    shared = await Effect.runPromise(Scope.extend(openDatabase(await url(), options), scope))
  }, 60_000)
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  /** The database that most tests share, because opening an embedded one takes seconds. */
  const open = () => Effect.sync(() => shared)

  /** Creates a table for one test, with one column of numbers. */
  const table = (sql: Database.Service["reserved"]) =>
    Effect.gen(function*() {
      const name = sql(`numbers_${Math.random().toString(36).slice(2)}`)
      yield* sql`CREATE TABLE ${name} (n integer)`
      return {
        name,
        add: (n: number) => sql`INSERT INTO ${name} VALUES (${n})`,
        all: Effect.map(sql<{ n: number }>`SELECT n FROM ${name} ORDER BY n`, (rows) => rows.map((row) => row.n))
      }
    })

  it.scopedLive("values have the same JavaScript types on every database", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const [row] = yield* sql`SELECT 1::int AS int, 2::bigint AS big, 1.50::numeric AS num, true AS yes, 'x' AS txt,
        '{"a":[1]}'::jsonb AS json, '{1,2}'::int[] AS ints, '{3}'::bigint[] AS bigs, '\\x0102'::bytea AS bytes,
        '2024-02-29T12:00:00Z'::timestamptz AS at, '2024-02-29'::date AS day, NULL AS nothing`
      assert.deepStrictEqual(row, {
        int: 1,
        big: "2",
        num: "1.50",
        yes: true,
        txt: "x",
        json: { a: [1] },
        ints: [1, 2],
        bigs: ["3"],
        bytes: Buffer.from([1, 2]),
        at: new Date("2024-02-29T12:00:00Z"),
        day: new Date(2024, 1, 29),
        nothing: null
      })
      assert.deepStrictEqual(yield* sql`SELECT 1::bigint, 'x'`.values, [["1", "x"]])
    }))

  it.scopedLive("a transaction commits as a whole or not at all; a savepoint in it rolls back alone", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const { add, all } = yield* table(sql)
      yield* sql.withTransaction(Effect.zipRight(
        add(1),
        Effect.ignore(sql.withTransaction(Effect.zipRight(add(2), Effect.fail("no"))))
      ))
      yield* sql.withTransaction(sql.withTransaction(add(3)))
      const exit = yield* Effect.exit(sql.withTransaction(Effect.zipRight(add(4), Effect.fail("no"))))
      assert.deepStrictEqual(exit, Exit.fail("no"))
      assert.deepStrictEqual(yield* all, [1, 3])
    }))

  it.scopedLive("a savepoint that is interrupted leaves the rest of its transaction to commit", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const { add, all } = yield* table(sql)
      yield* sql.withTransaction(Effect.all([
        add(1),
        Effect.timeoutOption(sql.withTransaction(Effect.zipRight(add(2), Effect.never)), "20 millis"),
        add(3)
      ]))
      assert.deepStrictEqual(yield* all, [1, 3])
    }))

  it.scopedLive("every connection returns clean, at whatever point its fiber is interrupted", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const { add, all } = yield* table(sql)
      yield* Effect.forEach(Array.from({ length: 120 }, (_, n) => n), (n) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.fork(
            n % 3 === 0 ? sql`SELECT 1` : sql.withTransaction(Effect.zipRight(add(n), Effect.fail("no")))
          )
          yield* Effect.repeatN(Effect.yieldNow(), n % 40)
          yield* Fiber.interrupt(fiber)
        }), { concurrency: 12 })
      const both = yield* Effect.forEach([1, 2], () => sql.withTransaction(all), { concurrency: 2 })
      assert.deepStrictEqual(both, [[], []])
    }))

  it.scopedLive("a transaction that is interrupted is rolled back, and its connection is reused", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const { add, all } = yield* table(sql)
      for (let round = 0; round < 4; round++) {
        const inside = yield* Deferred.make<void>()
        const fiber = yield* Effect.fork(
          sql.withTransaction(Effect.all([add(round), Deferred.succeed(inside, void 0), Effect.never]))
        )
        yield* Deferred.await(inside)
        yield* Fiber.interrupt(fiber)
      }
      assert.deepStrictEqual(yield* all, [])
    }))

  it.scopedLive("a transaction in a finalizer of an interrupted fiber commits", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const { add, all } = yield* table(sql)
      const started = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        Effect.zipRight(Deferred.succeed(started, void 0), Effect.never).pipe(
          Effect.ensuring(Effect.orDie(sql.withTransaction(add(1))))
        )
      )
      yield* Deferred.await(started)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* all, [1])
    }))

  it.scopedLive("a transaction fails when the server answers its commit with a rollback", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const { add, all } = yield* table(sql)
      const error = yield* Effect.flip(sql.withTransaction(Effect.zipRight(add(1), Effect.ignore(sql`SELECT 1/0`))))
      assert.strictEqual(error.message, "The transaction was rolled back, not committed")
      assert.deepStrictEqual(yield* all, [])
    }))

  it.scopedLive("a failed commit is an error, not a defect", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const { name } = yield* table(sql)
      yield* sql`ALTER TABLE ${name} ADD CONSTRAINT once UNIQUE (n) DEFERRABLE INITIALLY DEFERRED`
      const error = yield* Effect.flip(sql.withTransaction(sql`INSERT INTO ${name} VALUES (1), (1)`))
      assert.strictEqual(error._tag, "SqlError")
      assert.include(error.message, "unique constraint")
    }))

  it.scopedLive("a fiber that waits for a connection is interruptible, and the next one in the queue gets the connection", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const enough = yield* Deferred.make<void>()
      const full = yield* Effect.all(Array.from({ length: 2 }, () => Deferred.make<void>()))
      // The embedded database has one connection, the pool of the test two.
      const holders = yield* Effect.forEach(full, (held) =>
        Effect.fork(
          sql.withTransaction(Effect.zipRight(Deferred.succeed(held, void 0), Deferred.await(enough)))
        ))
      yield* Deferred.await(full[0]!)
      const waiting = [
        yield* Effect.fork(sql.withTransaction(Effect.void)),
        yield* Effect.fork(sql`SELECT 1`),
        yield* Effect.fork(Effect.scoped(sql.reserve)),
        yield* Effect.fork(Stream.runDrain(sql`SELECT 1`.stream))
      ]
      yield* Effect.yieldNow()
      yield* Fiber.interruptAll(waiting)
      const last = yield* Effect.fork(Effect.all(Array.from({ length: 8 }, () => sql`SELECT 1`), { concurrency: 8 }))
      yield* Deferred.succeed(enough, void 0)
      assert.strictEqual((yield* Fiber.join(last)).length, 8)
      yield* Fiber.joinAll(holders)
    }))

  it.scopedLive("transactions beyond the number of connections wait in a queue", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const { add, all } = yield* table(sql)
      yield* Effect.forEach(
        Array.from({ length: 30 }, (_, n) => n),
        (n) => sql.withTransaction(Effect.zipRight(add(n), Effect.yieldNow())),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(yield* all, Array.from({ length: 30 }, (_, n) => n))
    }))

  it.scopedLive("execute returns the rows of every statement, and joins the transaction around it", () =>
    Effect.gen(function*() {
      const { database, sql } = yield* open()
      const { all } = yield* table(sql)
      assert.deepStrictEqual(
        yield* Database.execute(sql, "BEGIN; SELECT 1 AS a; SELECT generate_series(2, 3) AS b; COMMIT"),
        [{ a: 1 }, { b: 2 }, { b: 3 }]
      )
      assert.deepStrictEqual(yield* Database.execute(sql, "SELECT $1::int AS a", [4]), [{ a: 4 }])
      assert.deepStrictEqual(yield* Database.execute(database.reserved, "SELECT 5 AS a"), [{ a: 5 }])
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(
        Database.execute(sql, "CREATE TABLE never (a int); SELECT 1"),
        Effect.fail("no")
      )))
      assert.deepStrictEqual(yield* sql`SELECT to_regclass('never') AS t`, [{ t: null }])
      assert.deepStrictEqual(yield* all, [])
    }))

  it.scopedLive("a text that fails inside its own transaction leaves the connection clean", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const { all } = yield* table(sql)
      yield* Effect.flip(Database.execute(sql, "BEGIN; SELECT 1/0; COMMIT"))
      assert.deepStrictEqual(yield* all, [])
    }))

  it.scopedLive("a stream fetches as it is read, and leaves its connection clean when it is interrupted", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const series = (to: number) => sql<{ n: number }>`SELECT n FROM generate_series(1, ${to}::int) AS n`.stream
      assert.strictEqual(yield* Stream.runCount(series(1000)), 1000)
      assert.strictEqual((yield* Stream.runCollect(Stream.take(series(100_000), 3))).length, 3)
      assert.deepStrictEqual(yield* sql`SELECT name FROM pg_cursors WHERE name <> ''`, [])
      assert.strictEqual(yield* sql.withTransaction(Stream.runCount(series(10))), 10)
    }))

  it.scopedLive("every statement with rows can be streamed: rows that it locks, inserts or deletes", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const { add, all, name } = yield* table(sql)
      yield* Effect.forEach([1, 2, 3], add)
      const numbers = (rows: Stream.Stream<object, unknown>) =>
        Effect.map(Stream.runCollect(rows), (rows) => [...rows].map((row) => (row as { n: number }).n))
      assert.deepStrictEqual(
        yield* Effect.all([
          numbers(sql`SELECT n FROM ${name} ORDER BY n FOR UPDATE SKIP LOCKED`.stream),
          numbers(sql`WITH added AS (INSERT INTO ${name} VALUES (4) RETURNING n) SELECT n FROM added`.stream),
          numbers(sql`DELETE FROM ${name} WHERE n = 1 RETURNING n`.stream),
          sql.withTransaction(numbers(sql`UPDATE ${name} SET n = n + 10 WHERE n = ${2} RETURNING n`.stream)),
          numbers(sql`VALUES (1)`.stream.pipe(Stream.as({ n: 0 })))
        ]),
        [[1, 2, 3], [4], [1], [12], [0]]
      )
      assert.deepStrictEqual(yield* all, [3, 4, 12])
      const error = yield* Effect.flip(
        Stream.runDrain(sql`SELECT 1 / (2 - n) FROM generate_series(1, 600) AS n`.stream)
      )
      assert.include(String(error), "division by zero")
      assert.deepStrictEqual(yield* all, [3, 4, 12])
    }))

  it.scopedLive("the consumer of a stream can run statements, also in the transaction around it", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const { add, all } = yield* table(sql)
      const copy = Stream.runForEach(
        sql<{ n: number }>`SELECT n FROM generate_series(1, 600) AS n`.stream.pipe(
          Stream.filter(({ n }) => n % 300 === 0)
        ),
        ({ n }) => add(n)
      )
      yield* copy
      yield* sql.withTransaction(copy)
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(copy, Effect.fail("no"))))
      assert.deepStrictEqual(yield* all, [300, 300, 600, 600])
    }))

  it.scopedLive(
    "the reader of a stream runs statements, transactions and streams of its own",
    () =>
      Effect.gen(function*() {
        const { sql } = yield* open()
        const { add, all, name } = yield* table(sql)
        const series = sql<{ n: number }>`SELECT n FROM generate_series(1, 600) AS n`.stream
        yield* Stream.runForEach(Stream.take(series, 3), ({ n }) => add(n))
        yield* Stream.runForEach(Stream.take(series, 2), ({ n }) => sql.withTransaction(add(n * 10)))
        yield* Stream.runForEach(Stream.take(series, 2), ({ n }) =>
          Effect.flatMap(Stream.runCount(sql`SELECT n FROM ${name} WHERE n > 9`.stream), (count) =>
            add(n * 100 + count)))
        assert.deepStrictEqual(yield* all, [1, 2, 3, 10, 20, 102, 203])
        assert.strictEqual(yield* Stream.runCount(series), 600)
        yield* Effect.flip(sql.withTransaction(Effect.zipRight(Stream.runDrain(series), sql`SELECT 1 / 0`)))
        assert.deepStrictEqual(yield* sql`SELECT name FROM pg_cursors WHERE name <> ''`, [])
      }),
    60_000
  )

  it.scopedLive("a transaction that interrupts the reader of a stream goes on", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const { add, all } = yield* table(sql)
      const reading = yield* Deferred.make<void>()
      const reader = yield* Effect.fork(
        Stream.runForEach(sql`SELECT n FROM generate_series(1, 600) AS n`.stream, () =>
          Effect.zipRight(Deferred.succeed(reading, void 0), Effect.never))
      )
      yield* Deferred.await(reading)
      yield* sql.withTransaction(Effect.all([add(1), Fiber.interrupt(reader), add(2)]))
      assert.deepStrictEqual(yield* all, [1, 2])
      assert.deepStrictEqual(yield* sql`SELECT name FROM pg_cursors WHERE name <> ''`, [])
    }), 60_000)

  it.scopedLive("a notification arrives when its transaction commits, not before", () =>
    Effect.gen(function*() {
      const { database, sql } = yield* open()
      const heard: Array<string> = []
      const listening = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        database.listen("Some channel").pipe(
          Stream.tap((payload) => payload === "" ? Deferred.succeed(listening, void 0) : Effect.void),
          Stream.tap((payload) => Effect.sync(() => heard.push(payload))),
          Stream.takeUntil((payload) => payload === "last"),
          Stream.runDrain
        )
      )
      yield* Deferred.await(listening)
      yield* Effect.ignore(
        sql.withTransaction(Effect.zipRight(database.notify("Some channel", "never"), Effect.fail("no")))
      )
      yield* sql.withTransaction(database.notify("Some channel", "committed"))
      yield* database.notify("Another", "elsewhere")
      yield* database.notify("Some channel", "last")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(heard, ["", "committed", "last"])
    }))

  it.scopedLive("the release waits for open transactions and for the queue, and refuses later statements", () =>
    Effect.gen(function*() {
      const { release, sql } = yield* openDatabase(yield* Effect.promise(url), { maxConnections: 1 })
      const { add, all } = yield* table(sql)
      const inside = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const holder = yield* Effect.forkDaemon(
        sql.withTransaction(Effect.all([Deferred.succeed(inside, void 0), Deferred.await(go), add(1)]))
      )
      yield* Deferred.await(inside)
      const waiter = yield* Effect.forkDaemon(all)
      yield* Effect.yieldNow()
      const releasing = yield* Effect.forkDaemon(release)
      const refused = yield* Effect.flip(Effect.repeat(
        Effect.timeoutTo(all, {
          duration: "20 millis",
          onTimeout: () => undefined,
          onSuccess: () => undefined
        }),
        { times: 100 }
      ))
      assert.strictEqual(refused.message, "The database is being released")
      yield* Deferred.succeed(go, void 0)
      const report = yield* Fiber.join(releasing)
      assert.strictEqual(report.outcome, "Drained")
      assert.strictEqual(report.cut, 0)
      yield* Fiber.join(holder)
      assert.deepStrictEqual(yield* Fiber.join(waiter), [1])
    }))

  it.scopedLive("a transaction that is open when the database is released is never committed", () =>
    Effect.gen(function*() {
      const place = yield* Effect.promise(url)
      const { release, sql } = yield* openDatabase(place, { ...options, drainTimeout: "50 millis" })
      const { add, name } = yield* table(sql)
      const inside = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const late = yield* Effect.forkDaemon(
        sql.withTransaction(
          Effect.all([add(1), Deferred.succeed(inside, void 0), Deferred.await(go), Effect.exit(add(2))])
        )
      )
      yield* Deferred.await(inside)
      const report = yield* release
      assert.deepStrictEqual([report.outcome, report.cut], ["Interrupted", 1])
      yield* Deferred.succeed(go, void 0)
      const error = yield* Effect.flip(Fiber.join(late))
      assert.strictEqual(error.message, "The database is being released")
      const again = yield* openDatabase(place)
      assert.deepStrictEqual(yield* again.sql`SELECT n FROM ${name}`, [])
    }))

  it.scopedLive("migrations run once, in order; new ones run later", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const { add, all } = yield* table(sql)
      const table_ = `m_${Math.random().toString(36).slice(2)}`
      const run = (migrations: Database.Migrations) =>
        Effect.scoped(Effect.asVoid(Layer.build(Database.migrations(migrations, { table: table_ })))).pipe(
          Effect.provideService(SqlClient.SqlClient, sql)
        )
      const first = { "0002_second": add(2), "0001_first": add(1) }
      yield* Effect.all([run(first), run(first), run(first)], { concurrency: "unbounded" })
      yield* run({ ...first, "0003_third": add(3) })
      assert.deepStrictEqual(yield* all, [1, 2, 3])
      const failing = yield* Effect.flip(run({ ...first, "0004_a": add(4), "0005_b": sql`SELECT 1/0` }))
      assert.strictEqual(failing.message, `Migration "5_b" failed`)
      const nonsense = yield* Effect.flip(run({ create: add(6) }))
      assert.include(nonsense.message, "found create")
      assert.deepStrictEqual(yield* all, [1, 2, 3])
    }))

  /** Runs `writes` once under a key of this test. */
  const onceIn = (sql: SqlClient.SqlClient) => {
    const test = Math.random().toString(36).slice(2)
    return <A, E>(key: string, writes: Effect.Effect<A, E>, keptFor?: Duration.DurationInput) =>
      Database.once(`${test}-${key}`, writes, { keptFor }).pipe(Effect.provideService(SqlClient.SqlClient, sql))
  }

  it.scopedLive("`once` runs the writes once for each key, and again after a failure", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const { add, all } = yield* table(sql)
      const once = onceIn(sql)
      yield* Effect.flip(once("a", Effect.zipRight(add(0), Effect.fail("no"))))
      const ran = yield* Effect.all([once("a", add(1)), once("b", add(2)), once("a", add(3))], {
        concurrency: "unbounded"
      })
      const again = yield* once("b", add(4))
      const [first, other, second] = ran.map(Option.isSome)
      // Either caller of the key may get a connection first.
      assert.deepStrictEqual([other, first !== second, Option.isSome(again)], [true, true, false])
      assert.deepStrictEqual(yield* all, first ? [1, 2] : [2, 3])
    }))

  it.scopedLive("`once` keeps a key for `keptFor`", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const once = onceIn(sql)
      yield* once("a", Effect.void, "1 nanos")
      yield* once("b", Effect.void, "1 nanos")
      const again = yield* Effect.all([once("a", Effect.void), once("b", Effect.void)])
      assert.deepStrictEqual(again.map(Option.isSome), [true, false])
    }))
}

describe("Database on PGlite", () => conformance(async () => `pglite:${await databaseFolder()}`))

describePostgres("Database on PostgreSQL", (postgres) => conformance(async () => postgres.url))

describePostgres("Database on PostgreSQL, with errors that arrive in several packets", (postgres) => {
  let proxy: Awaited<ReturnType<typeof splitErrors>>
  beforeAll(async () => {
    proxy = await splitErrors(postgres.url)
  })
  afterAll(() => proxy.close())
  conformance(async () => proxy.url)
})
