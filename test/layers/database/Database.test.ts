import { SqlClient } from "@effect/sql"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Deferred, type Duration, Effect, Exit, Fiber, Layer, Option, Scope, Stream } from "effect"
import * as Database from "../../../src/layers/database/Database.js"
import { makeTable } from "../../conformance/sql/sqlCase.js"
import { openDatabase, type Opened } from "../../kit/database.js"
import { databaseFolder } from "../../kit/pglite.js"
import { describePostgres } from "../../kit/postgres.js"

/** Runs migrations over a new table of them. */
const makeMigrator = (sql: SqlClient.SqlClient) => {
  const table = `m_${Math.random().toString(36).slice(2)}`
  const run = (migrations: Database.Migrations) =>
    Effect.scoped(Effect.asVoid(Layer.build(Database.migrations(migrations, { table })))).pipe(
      Effect.provideService(SqlClient.SqlClient, sql)
    )
  return { table, run }
}

// What only `Database` does, over both databases. The rest of SQL is in DatabaseConformance.test.ts.
const suite = (url: () => Promise<string>) => {
  const options = { maxConnections: 2 }
  const scope = Effect.runSync(Scope.make())
  let shared: Opened
  beforeAll(async () => {
    shared = await Effect.runPromise(Scope.extend(openDatabase(await url(), options), scope))
  }, 60_000)
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  /** The database that most tests share, because opening an embedded one takes seconds. */
  const open = () => Effect.sync(() => shared)

  it.scopedLive("execute returns the rows of every statement, and joins the transaction around it", () =>
    Effect.gen(function*() {
      const { database, sql } = yield* open()
      const { all } = yield* makeTable(sql)
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
      const { add, all } = yield* makeTable(sql)
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
      const { add, name } = yield* makeTable(sql)
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
      const { add, all } = yield* makeTable(sql)
      const { run } = makeMigrator(sql)
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

  it.scopedLive("a migration whose number another program has recorded under another name is an error, and none is run", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const { add, all } = yield* makeTable(sql)
      const { run, table } = makeMigrator(sql)
      yield* run({ "0001_create_users": add(1), "0002_add_index": add(2) })
      const error = yield* Effect.flip(
        run({ "0001_create_rows": add(3), "0002_add_index": add(4), "0003_more": add(5) })
      )
      assert.strictEqual(
        error.message,
        `Migration 1 is create_rows, but the table ${table} has recorded 1 as create_users: another program has run it, or it was renamed. ` +
          "Give each program a table of its own."
      )
      assert.deepStrictEqual(yield* all, [1, 2])
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
      const { add, all } = yield* makeTable(sql)
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

describe("Database on PGlite", () => suite(async () => `pglite:${await databaseFolder()}`))

describePostgres("Database on PostgreSQL", (postgres) => suite(async () => postgres.url))
