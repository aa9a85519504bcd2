import { Clock, Duration, Effect, Option, Predicate, type Schedule, ScheduleDecision, ScheduleIntervals } from "effect"
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
export const retrySettlement = (pool: Pool) => <A, E>(operation: Effect.Effect<A, E | JobSourceError>) => {
  const bound = {
    within: settleTimeout,
    cut: Effect.zipRight(pool.lifecycle.await("Interrupting"), Effect.sleep(settleTimeoutWhenInterrupting))
  }
  const retried = Effect.uninterruptible(operation).pipe(
    Effect.retry({ schedule: untilSettled, while: isSourceError }),
    Effect.delay("100 millis")
  )
  return Effect.catchIf(
    operation,
    isSourceError,
    (error) =>
      Effect.flatMap(
        bounded(bound)(retried),
        Option.getOrElse((): Effect.Effect<A, E | JobSourceError> => Effect.fail(error))
      )
  )
}

/**
 * The delay of a job's schedule after this many attempts, or none when the schedule is done by then. The schedule is
 * stepped from its start each time, because the attempts of one job may run in different processes.
 */
export const delayAfter = <Out>(
  schedule: Schedule.Schedule<Out, void>,
  attempts: number
): Effect.Effect<Option.Option<Duration.Duration>> =>
  Effect.gen(function*() {
    let now = yield* Clock.currentTimeMillis
    let state: unknown = schedule.initial
    let delay = 0
    for (let step = 0; step < attempts; step++) {
      const [next, , decision] = yield* schedule.step(now, undefined, state)
      if (ScheduleDecision.isDone(decision)) return Option.none()
      delay = Math.max(0, ScheduleIntervals.start(decision.intervals) - now)
      now += delay
      state = next
    }
    return Option.some(Duration.millis(delay))
  })
