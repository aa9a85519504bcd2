import { NodeRuntime } from "@effect/platform-node"
import { Layer } from "effect"
import { createServer } from "node:http"
import { HttpServer, launch } from "../../dist/index.js"
import { App, listenOptions, serverOptions } from "./apps.js"
import { reportUsage } from "./usage.js"

reportUsage()
App.pipe(Layer.provide(HttpServer.layer(() => createServer(serverOptions), listenOptions)), launch(), NodeRuntime.runMain)
