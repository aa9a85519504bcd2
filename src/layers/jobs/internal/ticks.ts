import {
  Clock,
  Cron,
  Duration,
  Effect,
  Option,
  Random,
  type Schedule,
  ScheduleDecision,
  ScheduleIntervals
} from "effect"
import { monotonicMillis } from "../../../core/internal/monotonic.js"
import { nextCronTick } from "./nextCronTick.js"

/** The moments at which a task is to run, one after the other. */
export interface Ticks<out R = never> {
  /**
   * Waits for the next tick, and gives its time: none when there will be no more. An interrupted wait is for the same tick
   * when it begins again.
   */
  readonly wait: Effect.Effect<Option.Option<number>, never, R>
  /** A run has ended: that of the tick that `wait` gave, or another one. After the former the next wait is for the tick after it. */
  readonly advance: (which: "Tick" | "Other") => Effect.Effect<void>
  /** When the task runs next, in milliseconds since the epoch. None while that is not known. */
  readonly nextAt: () => Option.Option<number>
}

/** What becomes of ticks that pass while the task runs, or while the process stands still. See `ScheduledTask.Options`. */
export type Missed = "skip" | "once" | "all"

/** The clock is read again after this time, so a clock that was set delays no tick by more. */
const longestSleep = Duration.seconds(30)

/** A clock that was set back by more was wrong before: its ticks are run again, as those of cron are. */
const restartAfter = Duration.toMillis("3 hours")

const jitterUpTo = (jitter: Duration.Duration): Effect.Effect<number> =>
  Duration.equals(jitter, Duration.zero)
    ? Effect.succeed(0)
    : Effect.map(Random.nextRange(0, Duration.toMillis(jitter)), Math.floor)

/** The ticks of a time of the day, by the clock of the system. Dies when there are none, as for 30 February. */
export const cronTicks = (options: {
  readonly cron: Cron.Cron
  readonly missed: Missed
  readonly jitter: Duration.Duration
}): Effect.Effect<Ticks> =>
  Effect.gen(function*() {
    const { cron, jitter, missed } = options
    /** No tick up to this time is waited for. */
    let from = yield* Clock.currentTimeMillis
    let tick = 0
    let runAt = 0
    const plan = Effect.flatMap(jitterUpTo(jitter), (delay) =>
      Effect.sync(() => {
        tick = nextCronTick(cron, from)
        runAt = tick + delay
      }))
    yield* plan

    /** The last tick up to now, if that is later: those before it were missed. */
    const skipMissed = (now: number) => {
      const last = Cron.prev(cron, now + 1_000).getTime()
      if (last > tick && last <= now) tick = last
    }
    const wait: Effect.Effect<Option.Option<number>> = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      if (now < from - restartAfter) {
        from = now
        return Effect.zipRight(plan, Effect.suspend(() => wait))
      }
      if (now < runAt) {
        return Effect.zipRight(Effect.sleep(Duration.min(Duration.millis(runAt - now), longestSleep)), wait)
      }
      if (missed !== "all") skipMissed(now)
      return Effect.succeedSome(tick)
    })
    return {
      wait,
      advance: (which) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          if (which === "Tick") from = tick
          if (missed === "skip") from = Math.max(from, now)
          return tick <= from ? plan : Effect.void
        }),
      nextAt: () => Option.some(runAt)
    }
  })

/** The ticks of a `Schedule`. Its delays are measured by a clock that is never set. */
export const scheduleTicks = <R>(
  schedule: Schedule.Schedule<unknown, unknown, R>,
  jitter: Duration.Duration
): Ticks<R> => {
  let state: unknown = schedule.initial
  let planned: { readonly tick: number; readonly runAt: number } | "Ended" | undefined
  const plan = Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const [next, , decision] = yield* schedule.step(now, undefined, state)
    state = next
    if (ScheduleDecision.isDone(decision)) return planned = "Ended"
    const tick = Math.max(now, ScheduleIntervals.start(decision.intervals))
    return planned = { tick, runAt: (yield* monotonicMillis) + tick - now + (yield* jitterUpTo(jitter)) }
  })
  const sleepUntil = (at: number): Effect.Effect<void> =>
    Effect.flatMap(monotonicMillis, (now) =>
      now >= at
        ? Effect.void
        // A timer of more than 24 days never fires.
        : Effect.zipRight(
          Effect.sleep(Duration.min(Duration.millis(at - now), "1 day")),
          Effect.suspend(() => sleepUntil(at))
        ))
  return {
    wait: Effect.flatMap(
      Effect.suspend(() => planned === undefined ? plan : Effect.succeed(planned)),
      (planned) =>
        planned === "Ended" ? Effect.succeedNone : Effect.as(sleepUntil(planned.runAt), Option.some(planned.tick))
    ),
    advance: (which) =>
      Effect.sync(() => {
        if (which === "Tick") planned = undefined
      }),
    nextAt: () => planned === undefined || planned === "Ended" ? Option.none() : Option.some(planned.tick)
  }
}
