import { Effect } from "effect"
import { VirtualClock } from "../../src/testing/internal/virtualClock.js"
import { VirtualRuntime } from "../../src/testing/internal/virtualRuntime.js"

/**
 * Runs an effect in virtual time that jumps from timer to timer by itself: for laws, which are tried a thousand times. Dies
 * when every fiber waits forever. Where a test moves the time itself, it uses the TestClock.
 */
export const virtually = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    const runtime = VirtualRuntime.make(yield* Effect.runtime<R>(), new VirtualClock())
    const exit = yield* runtime.run(effect, Number.POSITIVE_INFINITY)
    return typeof exit === "string" ? yield* Effect.dieMessage(runtime.describe(exit)) : yield* exit
  })
