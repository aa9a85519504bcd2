// @effect/sql 0.52: a transaction that caught the error of one of its statements succeeds, though the server answers its COMMIT with a
// ROLLBACK: its writes are lost without an error.
// DATABASE_URL=postgres://... node sql-pg-commit.mjs
import * as Reactivity from "@effect/experimental/Reactivity"
import { PgClient } from "@effect/sql-pg"
import { Effect, Exit, Redacted } from "effect"

const program = Effect.gen(function*() {
  const sql = yield* PgClient.make({ url: Redacted.make(process.env.DATABASE_URL) })
  yield* sql`DROP TABLE IF EXISTS upstream_commit`
  yield* sql`CREATE TABLE upstream_commit (n integer)`
  const exit = yield* Effect.exit(sql.withTransaction(
    Effect.zipRight(sql`INSERT INTO upstream_commit VALUES (1)`, Effect.ignore(sql`SELECT 1 / 0`))
  ))
  const rows = yield* sql`SELECT FROM upstream_commit`
  return { outcome: Exit.isSuccess(exit) ? "succeeds" : "fails", rows: rows.length }
}).pipe(Effect.scoped, Effect.provide(Reactivity.layer))

const { outcome, rows } = await Effect.runPromise(program)
console.log("expected: the transaction fails, and its table has 0 rows")
console.log(`actual:   the transaction ${outcome}, and its table has ${rows} rows`)
process.exit(outcome === "fails" ? 0 : 1)
