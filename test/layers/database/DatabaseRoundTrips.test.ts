import { assert, it } from "@effect/vitest"
import { Effect, Exit, Stream } from "effect"
import { executeOwn, transactionEnding } from "../../../src/layers/database/contract.js"
import { openDatabase } from "../../kit/database.js"
import { describePostgres } from "../../kit/postgres.js"
import { countRoundTrips } from "../../kit/postgresProxy.js"

describePostgres("Database on PostgreSQL: the round trips of a transaction", (server) => {
  /** One connection to a new table `n`, and the number of round trips of an effect. */
  const open = Effect.gen(function*() {
    const { close, count, url } = yield* Effect.promise(() => countRoundTrips(server.url))
    const { sql } = yield* openDatabase(url, { maxConnections: 1 })
    yield* Effect.addFinalizer(() => Effect.sync(() => void close()))
    yield* sql`DROP TABLE IF EXISTS trips`
    yield* sql`CREATE TABLE trips (n int UNIQUE)`
    const add = (n: number) => sql`INSERT INTO trips (n) VALUES (${n})`
    const all = Effect.map(sql<{ n: number }>`SELECT n FROM trips ORDER BY n`, (rows) => rows.map(({ n }) => n))
    const tripsOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.gen(function*() {
        const before = count()
        const exit = yield* Effect.exit(effect)
        return [exit, count() - before] as const
      })
    const last = (n: number) => ["INSERT INTO trips (n) VALUES ($1) RETURNING n", [n]] as const
    return { sql, add, all, tripsOf, last }
  })

  it.scopedLive("it begins with its first statement, and without statements it is none", () =>
    Effect.gen(function*() {
      const { add, all, sql, tripsOf } = yield* open
      const nothing = yield* tripsOf(sql.withTransaction(Effect.succeed("nothing")))
      assert.deepStrictEqual(nothing, [Exit.succeed("nothing"), 0])
      assert.deepStrictEqual(yield* tripsOf(sql.withTransaction(Effect.fail("no"))), [Exit.fail("no"), 0])
      const [, two] = yield* tripsOf(sql.withTransaction(Effect.zipRight(add(1), add(2))))
      assert.strictEqual(two, 3)
      // Without values a text may be several statements, and goes by itself.
      const [, several] = yield* tripsOf(
        sql.withTransaction(sql`INSERT INTO trips VALUES (3); INSERT INTO trips VALUES (4)`)
      )
      assert.strictEqual(several, 3)
      const [, savepoint] = yield* tripsOf(sql.withTransaction(sql.withTransaction(add(5))))
      assert.strictEqual(savepoint, 5)
      assert.deepStrictEqual(yield* all, [1, 2, 3, 4, 5])
    }))

  it.scopedLive("a first statement that fails is rolled back, and its values and rows are those of the statement", () =>
    Effect.gen(function*() {
      const { add, all, sql } = yield* open
      const rows = yield* sql.withTransaction(
        sql<{ n: number }>`INSERT INTO trips (n) VALUES (${1}), (${2}) RETURNING n`
      )
      assert.deepStrictEqual(rows, [{ n: 1 }, { n: 2 }])
      const values = yield* sql.withTransaction(sql`SELECT n, n + ${10}::int FROM trips ORDER BY n`.values)
      assert.deepStrictEqual(values, [[1, 11], [2, 12]])
      const error = yield* Effect.flip(sql.withTransaction(Effect.zipRight(add(1), add(3))))
      assert.strictEqual((error.cause as { readonly code: string }).code, "23505")
      const caught = sql.withTransaction(Effect.zipRight(Effect.ignore(add(1)), Effect.ignore(add(3))))
      assert.include((yield* Effect.flip(caught)).message, "rolled back, not committed")
      assert.deepStrictEqual(yield* all, [1, 2])
    }))

  it.scopedLive("a stream that is its first statement is part of it", () =>
    Effect.gen(function*() {
      const { all, sql } = yield* open
      const written = Stream.runCollect(sql`INSERT INTO trips SELECT generate_series(1, ${3}::int) RETURNING n`.stream)
      yield* Effect.flip(sql.withTransaction(Effect.zipRight(written, Effect.fail("no"))))
      assert.deepStrictEqual(yield* all, [])
      yield* sql.withTransaction(written)
      assert.deepStrictEqual(yield* all, [1, 2, 3])
    }))

  it.scopedLive("its last statement goes with the commit, and when it fails nothing is committed", () =>
    Effect.gen(function*() {
      const { add, all, last, sql, tripsOf } = yield* open
      const ending = (writes: Effect.Effect<unknown, unknown>, n: number) =>
        transactionEnding(sql, Effect.as(writes, ["value", ...last(n)] as const), () => "the last failed")
      assert.deepStrictEqual(yield* tripsOf(ending(add(1), 2)), [Exit.succeed(["value", [{ n: 2 }]] as const), 2])
      assert.deepStrictEqual(yield* tripsOf(ending(Effect.void, 3)), [Exit.succeed(["value", [{ n: 3 }]] as const), 1])
      assert.deepStrictEqual(yield* Effect.exit(ending(add(4), 1)), Exit.fail("the last failed"))
      assert.deepStrictEqual(yield* Effect.exit(ending(Effect.ignore(add(1)), 4)), Exit.fail("the last failed"))
      assert.deepStrictEqual(yield* Effect.exit(ending(Effect.fail("no"), 4)), Exit.fail("no"))
      assert.deepStrictEqual(yield* all, [1, 2, 3])
    }))

  it.scopedLive("its last statement is planned once, and only that: deferred triggers and later statements have the settings of the session", () =>
    Effect.gen(function*() {
      const { all, last, sql } = yield* open
      const settings = "current_setting('plan_cache_mode') || ' ' || current_setting('enable_seqscan')"
      yield* sql.unsafe(`CREATE OR REPLACE FUNCTION trips_seen() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM set_config('trips.seen', ${settings}, false); RETURN NULL; END $$`)
      yield* sql`CREATE CONSTRAINT TRIGGER trips_seen AFTER INSERT ON trips DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION trips_seen()`
      for (const n of [1, 2, 3]) {
        yield* transactionEnding(sql, Effect.succeed(["value", ...last(n)] as const), () => "the last failed")
      }
      assert.deepStrictEqual(yield* all, [1, 2, 3])
      assert.deepStrictEqual(
        yield* sql.unsafe(
          `SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%INSERT INTO trips (n) VALUES%'`
        ),
        // It is prepared when it comes again.
        [{ generic_plans: "2", custom_plans: "0" }]
      )
      const session = "force_custom_plan on"
      assert.deepStrictEqual(
        yield* sql.unsafe(`SELECT current_setting('trips.seen') AS deferred, ${settings} AS later`),
        [{ deferred: session, later: session }]
      )
    }))

  it.scopedLive("a statement of the library is prepared in it; one that was deallocated fails it once", () =>
    Effect.gen(function*() {
      const { add, all, sql } = yield* open
      const own = (n: number) =>
        sql.withTransaction(Effect.zipRight(add(n), executeOwn(sql, "SELECT $1::int AS n", [n])))
      yield* own(1)
      assert.deepStrictEqual(yield* own(2), [{ n: 2 }])
      assert.deepStrictEqual(
        yield* sql`SELECT statement FROM pg_prepared_statements`,
        [{ statement: "/* own */ SELECT $1::int AS n" }]
      )
      yield* sql`DEALLOCATE ALL`
      assert.strictEqual(((yield* Effect.flip(own(3))).cause as { readonly code: string }).code, "26000")
      assert.deepStrictEqual(yield* own(4), [{ n: 4 }])
      assert.deepStrictEqual(yield* all, [1, 2, 4])
    }))
})
