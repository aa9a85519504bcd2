import type { SqlClient } from "@effect/sql"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { openDatabase } from "../../kit/database.js"
import { describePostgres } from "../../kit/postgres.js"
import { likePooler } from "../../kit/postgresProxy.js"

/** The statements that the one connection has prepared, in the order of their preparation. */
const prepared = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql<{ statement: string }>`SELECT statement FROM pg_prepared_statements ORDER BY prepare_time`,
    (rows) => rows.map(({ statement }) => statement)
  )

describePostgres("Database on PostgreSQL: prepared statements", (server) => {
  const open = (options: Parameters<typeof openDatabase>[1] = {}, url = server.url) =>
    openDatabase(url, { maxConnections: 1, ...options })

  it.scopedLive("a statement with values is prepared when it repeats, outside of transactions", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const one = (n: number) => sql.unsafe<{ n: number }>("SELECT $1::int AS n", [n])
      assert.deepStrictEqual([yield* one(1), yield* prepared(sql)], [[{ n: 1 }], []])
      assert.deepStrictEqual([yield* one(2), yield* one(3)], [[{ n: 2 }], [{ n: 3 }]])
      assert.deepStrictEqual(yield* sql.unsafe("SELECT $1::int AS n", [4]).values, [[4]])
      assert.deepStrictEqual(yield* prepared(sql), ["SELECT $1::int AS n"])
      const inside = sql.unsafe("SELECT $1::int + 1", [1])
      yield* sql.withTransaction(Effect.repeatN(inside, 3))
      assert.deepStrictEqual(yield* prepared(sql), ["SELECT $1::int AS n"])
    }))

  it.scopedLive("a prepared statement that is stale runs all the same", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const { sql: other } = yield* open()
      yield* other`DROP TABLE IF EXISTS changing`
      yield* other`CREATE TABLE changing AS SELECT 1 AS a`
      const all = sql`SELECT * FROM changing WHERE a < ${10}`
      yield* Effect.repeatN(all, 2)
      yield* other`ALTER TABLE changing ADD COLUMN b int`
      assert.deepStrictEqual(yield* all, [{ a: 1, b: null }])
      yield* Effect.repeatN(all, 2)
      yield* sql`DEALLOCATE ALL`
      assert.deepStrictEqual(yield* all, [{ a: 1, b: null }])
      assert.strictEqual((yield* Effect.flip(Effect.repeatN(sql`SELECT 1 / ${0}::int`, 2)))._tag, "SqlError")
    }))

  it.scopedLive("a prepared statement is planned for its values each time, because its table may have grown", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      yield* Effect.repeatN(sql`SELECT ${1}::int`, 20)
      assert.deepStrictEqual(yield* sql`SELECT generic_plans, custom_plans FROM pg_prepared_statements`, [
        { generic_plans: "0", custom_plans: "20" }
      ])
    }))

  it.scopedLive("a connection keeps the hundred that it used last", () =>
    Effect.gen(function*() {
      const { sql } = yield* open()
      const numbered = (n: number) => Effect.repeatN(sql.unsafe(`SELECT $1::int AS n${n}`, [n]), 1)
      yield* Effect.forEach(Array.from({ length: 150 }, (_, n) => n), numbered, { discard: true })
      assert.deepStrictEqual(
        yield* prepared(sql),
        Array.from({ length: 100 }, (_, n) => `SELECT $1::int AS n${n + 50}`)
      )
    }))

  it.scopedLive("nothing is prepared behind a pooler, or when the option says so", () =>
    Effect.gen(function*() {
      const pooler = yield* Effect.acquireRelease(
        Effect.promise(() => likePooler(server.url)),
        ({ close }) => Effect.sync(() => void close())
      )
      const repeated = (sql: SqlClient.SqlClient) =>
        Effect.zipRight(Effect.repeatN(sql`SELECT ${1}::int`, 3), Effect.map(prepared(sql), (all) => all.length))
      const counts = [
        yield* repeated((yield* open({}, pooler.url)).sql),
        yield* repeated((yield* open({ preparedStatements: true }, pooler.url)).sql),
        yield* repeated((yield* open({ preparedStatements: false })).sql)
      ]
      assert.deepStrictEqual(counts, [0, 1, 0])
    }))
})
