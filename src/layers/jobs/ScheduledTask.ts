/**
 * Work by the clock, in this process: cache warmers, pollers, sweepers.
 *
 * Every process runs it. `ScheduledJob` is for work that one of many processes is to do.
 *
 * - One run at a time: a tick that passes during a run is skipped, or made up, as `missed` says.
 * - A failed run is logged, and the task goes on with its next tick.
 * - Draining: no run begins once the shutdown has begun. One that runs has `drainTimeout` to end, and is interrupted then.
 * - A `Cron` is right when the clock of its zone is set forward or back: a time of the day that is left out runs an hour
 *   later, one that is repeated runs once, and what runs every hour runs in a repeated hour, too.
 *
 * @example
 * ```ts
 * import { Cron, Effect, Layer, Schedule } from "effect"
 * import { ScheduledTask } from "lastcall"
 *
 * const Warmer = ScheduledTask.layer({
 *   name: "cache-warmer",
 *   schedule: Schedule.spaced("5 minutes"),
 *   runAtStart: true,
 *   run: () => Effect.log("warming the cache")
 * })
 *
 * const Sweeper = ScheduledTask.layer({
 *   name: "sweeper",
 *   schedule: Cron.unsafeParse("0 3 * * *", "Europe/Berlin"),
 *   jitter: "1 minute",
 *   run: ({ scheduledAt }) => Effect.log(`sweeping, for ${scheduledAt}`)
 * })
 *
 * export const Tasks = Layer.merge(Warmer, Sweeper)
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { Cron, DateTime, Effect, type Exit, Layer, type Option, type Schedule, type Scope } from "effect"
import type { Duration } from "effect"
import type { Steps, Timeouts } from "../../core/Drain.js"
import { durationOption } from "../../core/internal/options.js"
import type { BudgetError } from "../../core/ShutdownConfig.js"
import { makeTask } from "./internal/scheduledRuns.js"
import { cronTicks, scheduleTicks } from "./internal/ticks.js"

/**
 * What a run is for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tick {
  /** The time that the schedule named: the run begins then, or later by the jitter. For `runNow` and `runAtStart`, the time of the run. */
  readonly scheduledAt: DateTime.Utc
}

/**
 * A task and when it runs. Only `name`, `schedule` and `run` are required.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<E, R, R2 = never> extends Timeouts, Pick<Steps<unknown>, "quiesceOn"> {
  /** The name of the task in logs, spans and the report. */
  readonly name: string
  /**
   * When the task runs. A `Cron` names times by the clock of its zone, that of the system by default. A `Schedule` names delays:
   * the first is counted from the start, the others from the end of a run; when it ends the task runs no more.
   */
  readonly schedule: Cron.Cron | Schedule.Schedule<unknown, unknown, R2>
  /** One run. A failure or a defect is logged, and the next tick runs. Use `Effect.retry` and `Effect.timeout` in it. */
  readonly run: (tick: Tick) => Effect.Effect<unknown, E, R>
  /** Whether the task also runs when it starts, without delaying the start. Default: `false`. */
  readonly runAtStart?: boolean | undefined
  /**
   * What becomes of the ticks of a `Cron` that pass while the task runs, or while the process stands still. `"skip"`, the
   * default: the next run is that of the next tick, so a slow task is not behind for ever. `"once"`: one run at once, for
   * the last of them. `"all"`: one run each, one after the other.
   */
  readonly missed?: "skip" | "once" | "all" | undefined
  /**
   * Each run is delayed by a random time of up to this, so that processes do not all begin at the same moment. Zero by default:
   * tests in virtual time see the tick itself.
   */
  readonly jitter?: Duration.DurationInput | undefined
}

/**
 * How a run ended.
 *
 * @since 0.1.0
 * @category models
 */
export interface Run {
  /** When it began. */
  readonly startedAt: DateTime.Utc
  /** When it ended. */
  readonly endedAt: DateTime.Utc
  /** Its result. */
  readonly exit: Exit.Exit<unknown, unknown>
}

/**
 * The state of a task.
 *
 * @since 0.1.0
 * @category models
 */
export interface Status {
  /**
   * `Ended`: its schedule names no further run. `Crashed`: the schedule itself died; `/readyz` shows it. `Stopped`: the
   * shutdown has begun.
   */
  readonly state: "Waiting" | "Running" | "Paused" | "Ended" | "Crashed" | "Stopped"
  /** When it runs next by its schedule; none while it runs, and when there is no further run. */
  readonly nextRunAt: Option.Option<DateTime.Utc>
  /** Its last run that has ended. */
  readonly lastRun: Option.Option<Run>
}

/**
 * The operations of a task.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The name of the task. */
  readonly name: string
  /** The state of the task in this process. */
  readonly status: Effect.Effect<Status>
  /**
   * Asks for a run at once, also of a paused task. While one runs, one more follows it, for however many requests. Returns
   * `false` when none will run because the shutdown has begun, or the task has crashed.
   */
  readonly runNow: Effect.Effect<boolean>
  /** Ticks pass without a run until `resume`. They are not made up for. A run goes on. */
  readonly pause: Effect.Effect<void>
  /** Ends `pause`. */
  readonly resume: Effect.Effect<void>
}

/**
 * The defaults of `Options`, each with its reason there.
 *
 * @since 0.1.0
 * @category defaults
 */
export const defaults = { quiesceOn: "LameDuck", missed: "skip", jitter: 0, runAtStart: false } as const

/**
 * Runs a task by its schedule until the current scope closes. `layer` without the operations.
 *
 * **Errors:** `BudgetError` when the budget of `launch` can never hold a timeout. A `Cron` that names no time (30 February), and
 * a duration that makes no sense, are defects.
 *
 * **Promised:** at most one run at a time in this process, none that begins in a drain, and each that was interrupted is counted
 * as cut in the report. **Not promised:** that a tick is run: one that passes while the process is down is not.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <E, R, R2 = never>(
  options: Options<E, R, R2>
): Effect.Effect<Service, BudgetError, R | R2 | Scope.Scope> =>
  Effect.gen(function*() {
    const { missed = defaults.missed, name, quiesceOn = defaults.quiesceOn, run, schedule } = options
    const { runAtStart = defaults.runAtStart } = options
    const jitter = durationOption(name, "jitter", options.jitter ?? defaults.jitter)
    const ticks = Cron.isCron(schedule)
      ? yield* cronTicks({ cron: schedule, missed, jitter })
      : scheduleTicks(schedule, jitter)
    return yield* makeTask({
      name,
      drainTimeout: options.drainTimeout,
      releaseTimeout: options.releaseTimeout,
      quiesceOn,
      ticks,
      runAtStart,
      run: (at) => run({ scheduledAt: DateTime.unsafeMake(at) })
    })
  })

/**
 * `make` as a layer: put it in the app as any other, above what its runs use. The operations are those of `make`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <E, R, R2 = never>(
  options: Options<E, R, R2>
): Layer.Layer<never, BudgetError, Exclude<R | R2, Scope.Scope>> => Layer.scopedDiscard(make(options))
