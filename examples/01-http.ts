// An app of @effect/platform with the server of lastcall: only the import of `HttpServer` differs.
// Press Ctrl+C during a request: its response says `Connection: close`, and then the process ends.
//
// Run it:   node --import tsx --conditions=@lastcall/source examples/01-http.ts
// Press:    Ctrl+C while `curl -i http://127.0.0.1:3000/slow` waits
// Prints:   the address, then the report, in which the request has finished
// Needs:    nothing
import { HttpRouter, HttpServerResponse } from "@effect/platform"
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { HttpServer, launch } from "lastcall"
import { createServer } from "node:http"

const routes = HttpRouter.empty.pipe(
  HttpRouter.get("/", HttpServerResponse.text("hello\n")),
  HttpRouter.get("/slow", Effect.delay(HttpServerResponse.text("done\n"), "3 seconds"))
)

const App = HttpServer.serve(routes).pipe(
  HttpServer.withLogAddress,
  Layer.provide(HttpServer.layer(createServer, { port: 3000, host: "127.0.0.1" }))
)

App.pipe(launch(), NodeRuntime.runMain)
