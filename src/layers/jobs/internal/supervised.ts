import { Clock, Duration, Effect, Random } from "effect"
import type { Service } from "../../../core/Shutdown.js"
import { JobEvent } from "../JobEvent.js"
import { type PoolState, record } from "./poolState.js"

/** More crashes than this within the window are no accident: the service had better be started anew. */
const most = 5
const window = Duration.minutes(1)

/**
 * A loop that must not end. When it dies it is started again, after 100 ms, 200 ms, 400 ms and so on, a fifth more or
 * less. Too many crashes within a minute end the service.
 */
export const supervised = (pool: PoolState, fiber: string, shutdown: Service) => (loop: Effect.Effect<never>) => {
  let crashes: ReadonlyArray<number> = []
  return Effect.catchAllCause(loop, (cause) =>
    Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      crashes = [...crashes.filter((at) => at > now - Duration.toMillis(window)), now]
      const givenUp = crashes.length > most
      const jitter = yield* Random.nextRange(0.8, 1.2)
      const restartIn = givenUp ? undefined : Duration.millis(100 * 2 ** (crashes.length - 1) * jitter)
      yield* Effect.logError(`${pool.name}: the ${fiber} crashed`, cause)
      yield* record(pool, JobEvent.Crashed({ pool: pool.name, fiber, cause, restartIn }))
      if (restartIn !== undefined) return yield* Effect.as(Effect.sleep(restartIn), false)
      pool.crashed = `the ${fiber} keeps crashing`
      const reason = `${pool.name}: ${pool.crashed}`
      yield* shutdown.begin({ reason, failure: reason })
      return true
    })).pipe(Effect.repeat({ until: (givenUp: boolean) => givenUp }), Effect.asVoid)
}
