import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Layer } from "effect"
import { createServer } from "node:http"
import { App, options, said } from "./app.js"

Layer.merge(App, Layer.effectDiscard(said)).pipe(
  Layer.provide(NodeHttpServer.layer(createServer, options)),
  Layer.launch,
  NodeRuntime.runMain
)
