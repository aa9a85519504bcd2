import { Duration, Effect, Random, type Scope } from "effect"
import { monotonicMillis } from "../../../core/internal/monotonic.js"

/** How often in a row expired leases are left alone because the reaper itself came late. */
const mostPostponements = 3

/** The jobs of one queue whose leases were found expired. */
export interface Reaped {
  readonly queue: string
  readonly jobs: number
}

/**
 * Makes the jobs of dead processes available again, for as long as it runs.
 *
 * An expired lease means a dead process, unless no process could renew: the engine was away, one long transaction had the
 * only connection, or this process did not run. Then the reaper was held up as well. So it looks at the clock once it
 * has reached the engine, and if it is later than a renewal may be, it leaves expired leases alone for `grace`, in which
 * every live process renews its own. It postpones a few times in a row at most, because a busy machine may always be
 * late.
 */
export const reapLeases = (options: {
  readonly every: Duration.Duration
  readonly renewEvery: Duration.Duration
  readonly grace: Duration.Duration
  /** Whether `grace` passes before the first look, too. */
  readonly graceAtStart: boolean
  /** Completes when the engine answers, with what makes the jobs of expired leases available. */
  readonly reach: Effect.Effect<Effect.Effect<ReadonlyArray<Reaped>, unknown>, unknown, Scope.Scope>
}): Effect.Effect<never> =>
  Effect.gen(function*() {
    const { every, grace, graceAtStart, reach, renewEvery } = options
    const late = Duration.toMillis(every) + Duration.toMillis(renewEvery)
    let lastLook = yield* monotonicMillis
    let reapFrom = graceAtStart ? lastLook + Duration.toMillis(grace) : lastLook
    let postponements = 0

    const look = Effect.gen(function*() {
      const reap = yield* reach
      const now = yield* monotonicMillis
      postponements = now - lastLook > late ? postponements + 1 : 0
      if (postponements > 0 && postponements <= mostPostponements) reapFrom = now + Duration.toMillis(grace)
      lastLook = now
      if (now < reapFrom) return
      for (const { jobs, queue } of yield* reap) {
        yield* Effect.logWarning("Leases expired, their jobs are available again").pipe(
          Effect.annotateLogs({ queue, jobs })
        )
      }
    })

    return yield* Effect.scoped(look).pipe(
      Effect.catchAllCause((cause) => Effect.logDebug("Expired leases could not be looked for, trying again", cause)),
      // Its interruption does not wait for a server that does not answer.
      Effect.disconnect,
      Effect.zipRight(
        Effect.flatMap(Random.nextRange(0.75, 1), (jitter) => Effect.sleep(Duration.times(every, jitter)))
      ),
      Effect.forever
    )
  })
