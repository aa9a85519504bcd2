// The process: a signal stops the app, within GRACE_PERIOD (25s).
import { NodeRuntime } from "@effect/platform-node"
import { launch } from "lastcall"
import { App } from "./app.js"

App.pipe(launch(), NodeRuntime.runMain)
