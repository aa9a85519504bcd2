// Work that the client does not wait for: it has an owner, and ends before what it uses is released.
//
// Run it:   node --import tsx --conditions=@lastcall/source examples/06-tasks.ts
// Press:    Ctrl+C after `curl -X POST http://127.0.0.1:3000`
// Prints:   "mail sent", then the report
// Needs:    nothing
import { HttpRouter, HttpServerResponse } from "@effect/platform"
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { HttpServer, launch, TaskSupervisor } from "lastcall"
import { createServer } from "node:http"

const sendMail = Effect.delay(Effect.log("mail sent"), "2 seconds")

const routes = HttpRouter.empty.pipe(
  HttpRouter.post("/", Effect.zipRight(TaskSupervisor.fork(sendMail), HttpServerResponse.empty({ status: 202 })))
)

const App = HttpServer.serve(routes).pipe(
  Layer.provide(HttpServer.layer(createServer, { port: 3000, host: "127.0.0.1" }))
)

App.pipe(launch(), NodeRuntime.runMain)
