import { Deferred, Effect, FiberRef, HashSet, Layer, Queue } from "effect"
import * as Drain from "../../core/Drain.js"
import type { HostEvent } from "../../core/Host.js"
import * as Lifecycle from "../../core/Lifecycle.js"
import { onMemoryHost } from "./memoryHost.js"
import { runService } from "./runService.js"

/** From the start, which keeps the event loop busy, to the first time, and from one time to the next. */
const delay = "1 second"
const pause = "100 millis"

/** V8 needs several runs to optimize: measured, ten bring twice as much as one. */
const times = 10

const running = ({ follow }: Lifecycle.Lifecycle) => follow(({ state }) => Effect.succeed(state === "Running"))

/** A whole life of a service with one resource and no output, on a host in memory. */
const life = Effect.gen(function*() {
  const events = yield* Queue.unbounded<HostEvent>()
  const ended = yield* Deferred.make<void>()
  const onHost = onMemoryHost({
    listen: () => Effect.succeed(events),
    exit: () =>
      Effect.zipRight(Queue.shutdown(events), Effect.zipRight(Deferred.succeed(ended, undefined), Effect.interrupt))
  })
  const resource = Drain.acquire({ name: "rehearsal", acquire: Effect.void, drain: () => Effect.yieldNow() })
  const lifecycle = yield* Lifecycle.make()
  yield* Effect.forkDaemon(
    Effect.zipRight(running(lifecycle), Queue.offer(events, { _tag: "Signal", signal: "SIGTERM" }))
  )
  yield* runService(Effect.succeed(lifecycle), Layer.scopedDiscard(resource)).pipe(
    onHost,
    Effect.forkDaemon
  )
  yield* Deferred.await(ended)
}).pipe(Effect.locally(FiberRef.currentLoggers, HashSet.empty()))

/**
 * Rehearses the shutdown once the service is running, and ends when a shutdown begins. What runs for the first time takes
 * several times as long, and the code of a shutdown would run for the first time while the process is waited for.
 */
export const rehearse = (lifecycle: Lifecycle.Lifecycle): Effect.Effect<void> =>
  running(lifecycle).pipe(
    Effect.zipRight(Effect.sleep(delay)),
    Effect.zipRight(Effect.repeatN(Effect.zipRight(Effect.exit(life), Effect.sleep(pause)), times - 1)),
    Effect.raceFirst(lifecycle.requested),
    Effect.asVoid
  )
