// Gives the release of any layer, such as a Kafka client or an exporter, a bound, a name and a line in the report.
//
// Run it:   node --import tsx --conditions=@lastcall/source examples/03-any-layer.ts
// Press:    Ctrl+C
// Prints:   the report after 2 seconds: the exporter is cut, and the exit code is 1
// Needs:    nothing
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { Drain, launch } from "lastcall"

// Its release never ends. Unbounded, it would keep everything it depends on from being released.
const Exporter = Layer.scopedDiscard(
  Effect.addFinalizer(() => Effect.zipRight(Effect.log("flushing to a collector that is down"), Effect.never))
)

const App = Exporter.pipe(Drain.layer("exporter", { releaseTimeout: "2 seconds" }))

App.pipe(launch(), NodeRuntime.runMain)
