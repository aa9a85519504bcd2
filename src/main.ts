import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { App } from "./programs/importer/App.js"
import { launch } from "./programs/launch.js"

App.pipe(launch(), NodeRuntime.runMain({ disablePrettyLogger: true }))
