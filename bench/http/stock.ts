import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Layer } from "effect"
import { createServer } from "node:http"
import { App, listenOptions, serverOptions } from "./apps.js"
import { reportUsage } from "./usage.js"

reportUsage()
App.pipe(Layer.provide(NodeHttpServer.layer(() => createServer(serverOptions), listenOptions)), Layer.launch, NodeRuntime.runMain)
