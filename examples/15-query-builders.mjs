// Drizzle and Kysely over Database, in the transactions of SqlClient: one that fails writes nothing, one that succeeds writes what both did.
//
// Run it:   node examples/15-query-builders.mjs
// Press:    nothing: it ends by itself
// Prints:   "Drizzle and Kysely work over Database", after some seconds in which an embedded database is created in memory
// Needs:    the build (npm ci), and Drizzle and Kysely: docs/versions.md says which versions go together, and how to install them
import { SqlClient } from "@effect/sql"
import * as Drizzle from "@effect/sql-drizzle/Pg"
import * as Kysely from "@effect/sql-kysely/Pg"
import { eq } from "drizzle-orm"
import { pgTable, serial, text } from "drizzle-orm/pg-core"
import { Context, Effect, Layer, Redacted } from "effect"
import { Database } from "lastcall"
import assert from "node:assert/strict"

const orders = pgTable("orders", { id: serial("id").primaryKey(), what: text("what").notNull() })
class Db extends Context.Tag("Db")() {}

const program = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const drizzle = yield* Drizzle.PgDrizzle
  const kysely = yield* Db
  yield* sql`CREATE TABLE orders (id serial PRIMARY KEY, what text NOT NULL)`
  yield* drizzle.insert(orders).values({ what: "kept" })
  yield* Effect.ignore(sql.withTransaction(Effect.all([
    drizzle.insert(orders).values({ what: "drizzle" }),
    kysely.insertInto("orders").values({ what: "kysely" }),
    Effect.fail("no")
  ])))
  yield* kysely.withTransaction(kysely.insertInto("orders").values({ what: "kysely" }))
  const byDrizzle = yield* drizzle.select().from(orders).where(eq(orders.what, "kept"))
  const byKysely = yield* kysely.selectFrom("orders").select("what").orderBy("id")
  return { byDrizzle, byKysely }
})

const Live = Layer.mergeAll(Drizzle.layer, Layer.effect(Db, Kysely.make())).pipe(
  Layer.provideMerge(Database.layer({ url: Redacted.make("pglite:memory") }))
)
// @effect-diagnostics-next-line missingEffectContext:off -- where the packages of the query builders are not installed their types are unknown.
assert.deepEqual(await Effect.runPromise(Effect.provide(program, Live)), {
  byDrizzle: [{ id: 1, what: "kept" }],
  byKysely: [{ what: "kept" }, { what: "kysely" }]
})
console.log("Drizzle and Kysely work over Database")
