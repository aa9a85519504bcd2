// An API to operate jobs beside the API of the app: queues, jobs by state, dead letters, pause and resume, with a token.
//
// Run it:   OPERATOR_TOKEN=secret node --import tsx --conditions=@lastcall/source examples/17-job-console.ts
// Try it:   curl -H "Authorization: Bearer secret" localhost:3000/admin/queues
//           curl -H "Authorization: Bearer secret" "localhost:3000/admin/queues/mailer/jobs?state=Waiting"
//           curl -H "Authorization: Bearer secret" -X POST localhost:3000/admin/queues/mailer/pause
//           open localhost:3000/docs
// Press:    Ctrl+C
// Prints:   a line for each mail; paused, none; then the report
// Needs:    nothing, or the DATABASE_URL of a PostgreSQL
import {
  HttpApi,
  HttpApiBuilder,
  HttpApiMiddleware,
  HttpApiScalar,
  HttpApiSchema,
  HttpApiSecurity
} from "@effect/platform"
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer, Redacted, Schema } from "effect"
import { Database, HttpServer, JobConsole, JobSourceSql, launch, WorkerPool } from "lastcall"
import { createServer } from "node:http"

class Mailer extends WorkerPool.Tag("mailer")<Mailer, { readonly to: string }>() {}

class Unauthorized extends Schema.TaggedError<Unauthorized>()(
  "Unauthorized",
  {},
  HttpApiSchema.annotations({ status: 401 })
) {}

class Operator extends HttpApiMiddleware.Tag<Operator>()("Operator", {
  failure: Unauthorized,
  security: { token: HttpApiSecurity.bearer }
}) {}

class Api extends HttpApi.make("mails").add(JobConsole.Group.prefix("/admin").middleware(Operator)) {}

const OperatorLive = Layer.effect(
  Operator,
  Effect.map(Config.redacted("OPERATOR_TOKEN"), (token) => ({
    token: (given: Redacted.Redacted) =>
      Redacted.value(given) === Redacted.value(token) ? Effect.void : new Unauthorized()
  }))
)

const Workers = Mailer.layer({
  concurrency: 2,
  process: ({ to }) => Effect.delay(Effect.log(`sent a mail to ${to}`), "2 seconds")
})

const Seed = Layer.effectDiscard(
  Mailer.offerAll(Array.from({ length: 100 }, (_, n) => ({ to: `${n}@example.org` })))
)

const App = Layer.merge(HttpApiBuilder.serve(), Seed).pipe(
  Layer.provide(HttpApiScalar.layer()),
  Layer.provide(HttpApiBuilder.api(Api)),
  Layer.provide(JobConsole.layer(Api, [Mailer])),
  Layer.provide(OperatorLive),
  Layer.provide(HttpServer.layer(createServer, { port: 3000, host: "127.0.0.1" })),
  Layer.provide(Workers),
  Layer.provide(JobSourceSql.layer()),
  Layer.provide(Database.layerFromEnv)
)

App.pipe(launch({ gracePeriod: "15 seconds" }), NodeRuntime.runMain)
