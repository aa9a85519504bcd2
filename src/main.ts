import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { ConfigProvider, Effect } from "effect"
import { App } from "./programs/importer/App.js"
import { launch } from "./programs/launch.js"

/** The page shows the last report, so one is kept. */
const defaults = new Map([["SHUTDOWN_REPORT", "last-shutdown.json"]])

const environment = ConfigProvider.orElse(ConfigProvider.fromEnv(), () => ConfigProvider.fromMap(defaults))

App.pipe(launch(), Effect.withConfigProvider(environment), NodeRuntime.runMain({ disablePrettyLogger: true }))
