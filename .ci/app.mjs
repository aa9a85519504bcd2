// A small app: a server that is asked once, beside a layer with a bounded release. It stops by itself.
import { HttpServer as Platform, HttpServerResponse } from "@effect/platform"
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { Drain, HttpServer, launch, Shutdown } from "lastcall"
import { createServer } from "node:http"

const Exporter = Layer.scopedDiscard(Effect.addFinalizer(() => Effect.log("flushed"))).pipe(Drain.layer("exporter"))

const Client = Layer.effectDiscard(Effect.gen(function*() {
  const { address } = yield* Platform.HttpServer
  const ask = Effect.promise(() => fetch(`http://127.0.0.1:${address.port}/`).then((response) => response.text()))
  yield* ask.pipe(Effect.tap((body) => Effect.log(body)), Effect.zipRight(Shutdown.begin("done")), Effect.forkDaemon)
}))

Platform.serve(HttpServerResponse.text("served")).pipe(
  Layer.provideMerge(Client),
  Layer.provide(HttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
  Layer.provide(Exporter),
  launch(),
  NodeRuntime.runMain
)
