// Any layer you already have, a Kafka client or an exporter, under a bounded, named, reported release.
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { Drain, launch } from "lastcall"

// Its release would take for ever, and with it everything that it depends on.
const Exporter = Layer.scopedDiscard(
  Effect.addFinalizer(() => Effect.zipRight(Effect.log("flushing to a collector that is down"), Effect.never))
)

const App = Exporter.pipe(Drain.layer("exporter", { releaseTimeout: "2 seconds" }))

App.pipe(launch(), NodeRuntime.runMain)
