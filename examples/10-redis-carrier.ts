// The jobs in the database, distributed by Redis: an order and its job are one commit, and so are an invoice and the end of
// its job. Kill this process, or Redis, at any point: every order gets one invoice.
//
// Run it:   node --import tsx --conditions=@lastcall/source examples/10-redis-carrier.ts
// Press:    Ctrl+C
// Prints:   a line for each invoice, then the report. The embedded database stays in ./data
// Needs:    a Redis (JOBS_URL, redis://localhost by default); the DATABASE_URL of a PostgreSQL, if there is one
import { NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { Config, Effect, Layer, Redacted, Schedule } from "effect"
import { Database, JobCarrierRedis, JobSourceSql, launch, WorkerPool } from "lastcall"
import { randomUUID } from "node:crypto"

class Invoices extends WorkerPool.Tag("invoices")<Invoices, { readonly order: string }>() {}

const Workers = Invoices.layer({
  concurrency: 8,
  process: ({ order }, job) =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* Effect.sleep("200 millis") // outside of any transaction
      yield* job.complete(sql`INSERT INTO invoices (for_order) VALUES (${order})`)
      yield* Effect.log(`invoice for ${order}`)
    })
})

const placeOrder = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const order = randomUUID()
  yield* sql.withTransaction(Effect.zipRight(sql`INSERT INTO orders (id) VALUES (${order})`, Invoices.offer({ order })))
})
const Customers = Layer.scopedDiscard(
  Effect.catchAll(placeOrder, (error) => Effect.logError("no order", error)).pipe(
    Effect.repeat(Schedule.spaced("1 second")),
    Effect.forkScoped
  )
)

// The table of its own keeps this record apart from those of other programs that use ./data.
const Migrations = Database.migrations({
  "0001_create_orders": Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => Effect.all([sql`CREATE TABLE orders (id text PRIMARY KEY)`, sql`CREATE TABLE invoices (for_order text)`])
  )
}, { table: "invoice_migrations" })

const url = Config.withDefault(Config.redacted("JOBS_URL"), Redacted.make("redis://localhost"))
const Jobs = JobSourceSql.layerCarried().pipe(Layer.provide(JobCarrierRedis.layerConfig(Config.all({ url }))))

const App = Customers.pipe(
  Layer.provide(Workers),
  Layer.provide(Jobs),
  Layer.provide(Migrations),
  Layer.provide(Database.layerFromEnv)
)

App.pipe(launch(), NodeRuntime.runMain)
