import { Clock, Duration, Effect, Option, type Schedule, ScheduleDecision, ScheduleIntervals } from "effect"

/**
 * The delay of a schedule after this many attempts, or none when the schedule is done by then. The schedule is
 * stepped from its start each time, because the attempts of one job may run in different processes.
 */
export const delayAfter = <Out>(
  schedule: Schedule.Schedule<Out, void>,
  attempts: number
): Effect.Effect<Option.Option<Duration.Duration>> =>
  attempts === 0 ? Effect.succeedSome(Duration.zero) : Effect.gen(function*() {
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
