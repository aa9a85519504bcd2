// A resource of your own: take nothing new, finish what is in flight, interrupt what is left, let go.
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Fiber, FiberSet, Layer } from "effect"
import { Drain, launch } from "lastcall"

const work = Effect.delay(Effect.log("polled"), "2 seconds")

const Poller = Layer.scopedDiscard(Effect.gen(function*() {
  const running = yield* FiberSet.make()
  const polling = yield* FiberSet.run(running, work).pipe(Effect.delay("500 millis"), Effect.forever, Effect.forkScoped)
  // Made last, so that it is released first.
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
