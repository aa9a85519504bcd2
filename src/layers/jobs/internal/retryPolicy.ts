import { Duration, Effect, Option, Predicate } from "effect"
import { backoff } from "../../../core/internal/backoff.js"
import { bounded } from "../../../core/internal/bounded.js"
import type { JobSourceError } from "../JobSource.js"
import type { Pool } from "./poolState.js"

/** Delays between the attempts to claim jobs, or to renew leases, while the source is unavailable. Never ends. */
export const untilAvailable = backoff("5 seconds")

/** Delays between the attempts to settle a job. Short, so that several of them fit into the end of a shutdown. */
const untilSettled = backoff("1 second")

/** How long a job's settlement is retried before the job is left to its lease. */
const settleTimeout = Duration.seconds(30)
/** The same once the pool interrupts its jobs, when the process is about to end. */
const settleTimeoutWhenInterrupting = Duration.seconds(2)

const isSourceError = Predicate.isTagged("JobSourceError") as (error: unknown) => error is JobSourceError

/**
 * Retries an operation that settles a job while the source is unavailable: for 30 seconds, or for 2 seconds after the
 * pool began to interrupt its jobs. Then it fails with the first error.
 */
export const retrySettlement = (pool: Pool) => <A, E>(operation: Effect.Effect<A, E | JobSourceError>) =>
  Effect.catchIf(operation, isSourceError, (error) => {
    const bound = {
      within: settleTimeout,
      cut: Effect.zipRight(pool.lifecycle.await("Interrupting"), Effect.sleep(settleTimeoutWhenInterrupting))
    }
    const retried = Effect.uninterruptible(operation).pipe(
      Effect.retry({ schedule: untilSettled, while: isSourceError }),
      Effect.delay("100 millis")
    )
    return Effect.flatMap(
      bounded(bound)(retried),
      Option.getOrElse((): Effect.Effect<A, E | JobSourceError> => Effect.fail(error))
    )
  })
