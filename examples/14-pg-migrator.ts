// The migrations of an existing app, with PgMigrator of @effect/sql-pg, run over Database unchanged: in a layer, before what needs the
// tables. Database.migrations does the same without a file system and a command executor.
//
// Run it:   node --import tsx --conditions=@lastcall/source examples/14-pg-migrator.ts
// Press:    Ctrl+C, and start it again
// Prints:   "2 tables", each time: each migration runs once. The embedded database stays in ./data
// Needs:    nothing, or the DATABASE_URL of a PostgreSQL
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { PgMigrator } from "@effect/sql-pg"
import { Effect, Layer } from "effect"
import { Database, launch } from "lastcall"

const create = (table: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`CREATE TABLE ${sql(table)} (id integer PRIMARY KEY)`)

const Migrations = PgMigrator.layer({
  loader: PgMigrator.fromRecord({
    "0001_create_orders": create("example_orders"),
    "0002_create_lines": create("example_lines")
  }),
  table: "example_migrations"
})

const App = Layer.effectDiscard(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const tables = yield* sql`SELECT FROM pg_tables WHERE tablename IN ('example_orders', 'example_lines')`
  yield* Effect.log(`${tables.length} tables`)
}))

App.pipe(
  Layer.provide(Migrations),
  Layer.provide(Database.layerFromEnv),
  Layer.provide(NodeContext.layer),
  launch(),
  NodeRuntime.runMain
)
