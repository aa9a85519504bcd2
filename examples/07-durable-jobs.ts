// Jobs in the database, whose writes happen exactly once: each write, its cursor and the fence are one short transaction.
// Stop the service, or kill it, and start it again: the job continues from its last checkpoint.
//
// Run it:   node --import tsx --conditions=@lastcall/source examples/07-durable-jobs.ts
// Press:    Ctrl+C, and start it again
// Prints:   "counted to" and a number; the next start goes on there, beside a job of its own. The database stays in ./data
// Needs:    nothing, or the DATABASE_URL of a PostgreSQL
import { NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { Effect, Layer, Option, Schema } from "effect"
import { Database, JobSourceSql, launch, WorkerPool } from "lastcall"

class Counter extends WorkerPool.Tag("counter")<Counter, { readonly upTo: number }, number>({
  payload: Schema.Struct({ upTo: Schema.Int }),
  cursor: Schema.Int
}) {}

const Workers = Counter.layer({
  concurrency: 2,
  process: ({ upTo }, job) =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      for (let n = Option.getOrElse(job.cursor, () => 0) + 1; n <= upTo; n++) {
        yield* Effect.sleep("500 millis")
        // During a shutdown this commits, hands the job back, and ends the process of the job.
        yield* job.checkpoint(n, sql`INSERT INTO counted (job, n) VALUES (${job.id}, ${n})`)
        yield* Effect.log(`counted to ${n}`)
      }
    })
})

const Seed = Layer.effectDiscard(Counter.offer({ upTo: 20 }))

// The table of its own keeps this record apart from those of other programs that use ./data.
const Migrations = Database.migrations({
  "0001_create_counted": Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`CREATE TABLE counted (job text, n integer, PRIMARY KEY (job, n))`
  )
}, { table: "counter_migrations" })

const App = Seed.pipe(
  Layer.provide(Workers),
  Layer.provide(JobSourceSql.layer()),
  Layer.provide(Migrations),
  Layer.provide(Database.layerFromEnv)
)

App.pipe(launch(), NodeRuntime.runMain)
