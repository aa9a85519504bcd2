import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Layer } from "effect"
import { createServer } from "node:http"
import "../watch.js"
import { App } from "./app.js"
import { options } from "./handler.js"

App.pipe(
  Layer.provide(NodeHttpServer.layer(() => createServer(options), { host: "127.0.0.1", port: 0 })),
  Layer.launch,
  NodeRuntime.runMain
)
