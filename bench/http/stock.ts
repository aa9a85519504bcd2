import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Layer } from "effect"
import { createServer } from "node:http"
import { App, options, printPort } from "./app.js"

Layer.merge(App, Layer.effectDiscard(printPort)).pipe(
  Layer.provide(NodeHttpServer.layer(createServer, options)),
  Layer.launch,
  NodeRuntime.runMain
)
