// A server that offers jobs to a pool. The routes depend on the pool, so they end before the pool does.
//
// Run it:   node --import tsx --conditions=@lastcall/source examples/02-workers.ts
// Press:    Ctrl+C after `curl -X POST http://127.0.0.1:3000/mails/ada`
// Prints:   a line for each mail, then the report: the server ends before the pool
// Needs:    nothing
import { HttpRouter, HttpServerResponse } from "@effect/platform"
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { HttpServer, JobSourceMemory, launch, WorkerPool } from "lastcall"
import { createServer } from "node:http"

class Mailer extends WorkerPool.Tag("mailer")<Mailer, { readonly to: string }>() {}

const Workers = Mailer.layer({
  concurrency: 4,
  drainTimeout: "10 seconds",
  process: ({ to }) => Effect.delay(Effect.log(`sent a mail to ${to}`), "1 second")
})

const routes = HttpRouter.empty.pipe(
  HttpRouter.post(
    "/mails/:to",
    HttpRouter.params.pipe(
      Effect.flatMap(({ to }) => Mailer.offer({ to: to ?? "unknown" })),
      Effect.flatMap((id) => HttpServerResponse.json({ id }, { status: 202 })),
      // The queue in memory is bounded. When it is full, the client is asked to retry.
      Effect.catchTag("QueueFull", () => HttpServerResponse.empty({ status: 503, headers: { "retry-after": "1" } }))
    )
  )
)

const App = HttpServer.serve(routes).pipe(
  Layer.provide(HttpServer.layer(createServer, { port: 3000, host: "127.0.0.1" })),
  Layer.provide(Workers),
  Layer.provide(JobSourceMemory.layer({ capacity: 100 }))
)

App.pipe(launch({ gracePeriod: "15 seconds" }), NodeRuntime.runMain)
