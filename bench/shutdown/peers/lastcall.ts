import { NodeRuntime } from "@effect/platform-node"
import { Layer } from "effect"
import { createServer } from "node:http"
import { HttpServer, launch } from "../../../dist/index.js"
import "../watch.js"
import { App } from "./app.js"
import { options } from "./handler.js"

App.pipe(
  Layer.provide(HttpServer.layer(() => createServer(options), { host: "127.0.0.1", port: 0 })),
  launch({ gracePeriod: "10 seconds" }),
  NodeRuntime.runMain
)
