import { NodeRuntime } from "@effect/platform-node"
import { Layer } from "effect"
import { createServer } from "node:http"
import { HttpServer, launch } from "../../dist/index.js"
import { App, options, printPort } from "./app.js"

Layer.merge(App, Layer.effectDiscard(printPort)).pipe(
  Layer.provide(HttpServer.layer(createServer, options)),
  launch(),
  NodeRuntime.runMain
)
