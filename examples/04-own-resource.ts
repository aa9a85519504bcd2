// A resource of your own: accepts no new work, finishes work in flight, interrupts the rest.
//
// Run it:   node --import tsx --conditions=@lastcall/source examples/04-own-resource.ts
// Press:    Ctrl+C
// Prints:   "polled" twice a second, then the report: what was in flight has ended
// Needs:    nothing
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Fiber, FiberSet, Layer } from "effect"
import { Drain, launch } from "lastcall"

const work = Effect.delay(Effect.log("polled"), "2 seconds")

const Poller = Layer.scopedDiscard(Effect.gen(function*() {
  const running = yield* FiberSet.make()
  const polling = yield* FiberSet.run(running, work).pipe(Effect.delay("500 millis"), Effect.forever, Effect.forkScoped)
  // Acquired last, so that it is released first.
  yield* Drain.acquire({
    name: "poller",
    acquire: Effect.void,
    quiesce: () => Fiber.interrupt(polling),
    quiesceOn: "LameDuck",
    drain: () => FiberSet.awaitEmpty(running),
    interrupt: () => FiberSet.clear(running),
    drainTimeout: "5 seconds"
  })
}))

Poller.pipe(launch(), NodeRuntime.runMain)
