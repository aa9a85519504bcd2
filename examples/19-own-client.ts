// An app that has its own PgClient.layer keeps it: the jobs of lastcall run on its connections and in its transactions. A
// transaction of the app that is rolled back has offered no job.
//
// Run it:   DATABASE_URL=postgres://postgres@localhost/test node --import tsx --conditions=@lastcall/source examples/19-own-client.ts
// Press:    Ctrl+C
// Prints:   "mail to ada@example.org", then the report
// Needs:    a PostgreSQL, as DATABASE_URL says
//
// The diff of the app is the three lines that begin with "+":
//
//    const Sql = PgClient.layerConfig({ url: Config.redacted("DATABASE_URL") })
//    App.pipe(
//  +   Layer.provide(Workers),
//  +   Layer.provide(JobSourceSql.layer()),
//  +   Layer.provide(Database.fromPgClient),
//      Layer.provide(Sql),
//
// docs/database.md says what this lacks. To get that, replace the client too:
//
//  - const Sql = PgClient.layerConfig({ url: Config.redacted("DATABASE_URL") })
//  + const Sql = Database.layerConfig({ url: Config.redacted("DATABASE_URL") })
//  -   Layer.provide(Database.fromPgClient),
import { NodeRuntime } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Config, Effect, Layer } from "effect"
import { Database, JobSourceSql, launch, WorkerPool } from "lastcall"

class Mailer extends WorkerPool.Tag("mailer")<Mailer, { readonly to: string }>() {}

const Workers = Mailer.layer({ concurrency: 2, process: ({ to }) => Effect.log(`mail to ${to}`) })

const App = Layer.effectDiscard(Effect.gen(function*() {
  const sql = yield* PgClient.PgClient
  yield* sql`CREATE TABLE IF NOT EXISTS people (email text)`
  const join = (email: string) =>
    sql.withTransaction(Effect.zipRight(sql`INSERT INTO people VALUES (${email})`, Mailer.offer({ to: email })))
  yield* join("ada@example.org")
  yield* Effect.ignore(sql.withTransaction(Effect.zipRight(join("nobody@example.org"), Effect.fail("rolled back"))))
}))

const Sql = PgClient.layerConfig({ url: Config.redacted("DATABASE_URL"), maxConnections: Config.succeed(4) })

App.pipe(
  Layer.provide(Workers),
  Layer.provide(JobSourceSql.layer()),
  Layer.provide(Database.fromPgClient),
  Layer.provide(Sql),
  launch(),
  NodeRuntime.runMain
)
