import { Clock, Duration, Effect, Option, Predicate, type Schedule, ScheduleDecision, ScheduleIntervals } from "effect"
import { backoff } from "../../../core/internal/backoff.js"
import { bounded } from "../../../core/internal/bounded.js"
import type { JobSourceError } from "../JobSource.js"

/** How often a source is asked for jobs while it is away. */
export const untilBack = backoff("5 seconds")

/** How often it is asked to write down what became of one: at least once while somebody is in a hurry. */
const untilWritten = backoff("1 second")

const isAway = Predicate.isTagged("JobSourceError") as (error: unknown) => error is JobSourceError

/**
 * Writes down what became of a job. A source that is away is asked again for half a minute, or for two seconds after
 * `hurry` has completed; then it fails, and the job is left to its lease.
 */
export const persist = (hurry: Effect.Effect<void>) => <A, E>(write: Effect.Effect<A, E | JobSourceError>) => {
  const bound = { within: Duration.seconds(30), cut: Effect.zipRight(hurry, Effect.sleep("2 seconds")) }
  const again = Effect.uninterruptible(write).pipe(
    Effect.retry({ schedule: untilWritten, while: isAway }),
    Effect.delay("100 millis")
  )
  return Effect.catchIf(
    write,
    isAway,
    (error) =>
      Effect.flatMap(
        bounded(bound)(again),
        Option.getOrElse((): Effect.Effect<A, E | JobSourceError> => Effect.fail(error))
      )
  )
}

/**
 * The delay that a schedule puts after the `attempt`-th attempt; none when it is done by then. Stepped from its beginning
 * every time, because the attempts of one job are made by different processes.
 */
export const delayAfter = <Out>(
  schedule: Schedule.Schedule<Out, void>,
  attempt: number
): Effect.Effect<Option.Option<Duration.Duration>> =>
  Effect.gen(function*() {
    let now = yield* Clock.currentTimeMillis
    let state: unknown = schedule.initial
    let delay = 0
    for (let step = 0; step < attempt; step++) {
      const [next, , decision] = yield* schedule.step(now, undefined, state)
      if (ScheduleDecision.isDone(decision)) return Option.none()
      delay = Math.max(0, ScheduleIntervals.start(decision.intervals) - now)
      now += delay
      state = next
    }
    return Option.some(Duration.millis(delay))
  })
