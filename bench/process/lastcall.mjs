import { HttpRouter, HttpServer as Platform, HttpServerResponse } from "@effect/platform"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { createServer } from "node:http"
import { HttpServer, launch } from "../../dist/index.js"

const respond = Effect.delay(HttpServerResponse.text("answered"), 400)
const printPort = Effect.flatMap(Platform.HttpServer, ({ address }) => Console.log(`listening on ${address.port}`))

Platform.serve(HttpRouter.empty.pipe(HttpRouter.get("/", respond))).pipe(
  Layer.merge(Layer.effectDiscard(printPort)),
  Layer.provide(HttpServer.layer(() => createServer(), { host: "127.0.0.1", port: 0 })),
  launch({ gracePeriod: "10 seconds" }),
  NodeRuntime.runMain
)
