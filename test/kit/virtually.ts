import { Clock, Context, DefaultServices, Effect, FiberRef, FiberRefs, Runtime } from "effect"
import { ExploringScheduler } from "../../src/testing/internal/exploringScheduler.js"
import { InterruptionClock } from "../../src/testing/internal/interruptionClock.js"

/** One turn of the real event loop, for what promises have to say. */
const turn = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

/**
 * Runs an effect in a virtual time that jumps from timer to timer by itself, as fast as the machine can: for laws that
 * are tried a thousand times. Dies when everybody waits for ever.
 */
export const virtually = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    const env = yield* Effect.runtime<R>()
    const scheduler = new ExploringScheduler()
    const clock = new InterruptionClock()
    const services = FiberRefs.getOrDefault(env.fiberRefs, DefaultServices.currentServices)
    const runtime = env.pipe(
      Runtime.setFiberRef(FiberRef.currentScheduler, scheduler),
      Runtime.setFiberRef(DefaultServices.currentServices, Context.add(services, Clock.Clock, clock))
    )
    const fiber = Runtime.runFork(runtime)(effect, { immediate: false })
    for (let idle = 0; idle < 16;) {
      scheduler.flush()
      const exit = fiber.unsafePoll()
      if (exit !== null) return yield* exit
      yield* turn
      idle = scheduler.hasWork || clock.advance() ? 0 : idle + 1
    }
    return yield* Effect.dieMessage("everybody waits for ever")
  })
