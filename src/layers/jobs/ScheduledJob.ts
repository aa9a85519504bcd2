/**
 * Work by the clock, once for all processes: each tick of the schedule is a job.
 *
 * `ScheduledTask` is the form for work that every process does for itself.
 *
 * - **One run for a tick.** Its job is `name@tick`, in the queue `name` of the `JobSource`: any process runs it, with attempts,
 *   cursor, hand-back and dead letters like any job. There is no leader.
 * - **One run at a time.** A tick waits for the run before it, or is skipped, as `overlap` says.
 * - **Ticks that pass while no process is there** are made up for, as `missed` says.
 * - **A schedule that was changed** holds from the next look on, at most half a minute after the first process with it has started.
 *   While processes with both run, the one that started last decides; what it says does the other process, too.
 * - A `Cron` is right when the clock of its zone is set forward or back, as in `ScheduledTask`.
 *
 * The schedule itself is a job that is never finished, in the queue `name/schedule`. Its cursor says which ticks were decided
 * on, and it is looked at when a tick is due, at least every half minute. It stays when the schedule is removed from the program.
 *
 * @example
 * ```ts
 * import { Cron, Effect, Layer } from "effect"
 * import { Database, JobSourceSql, ScheduledJob } from "lastcall"
 *
 * const Invoices = ScheduledJob.layer({
 *   name: "invoices",
 *   schedule: Cron.unsafeParse("0 3 * * *", "Europe/Berlin"),
 *   missed: "once",
 *   run: ({ scheduledAt }) => Effect.log(`invoices of the day before ${scheduledAt}`)
 * })
 *
 * export const Live = Invoices.pipe(
 *   Layer.provide(JobSourceSql.layer()),
 *   Layer.provide(Database.layerFromEnv)
 * )
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { Clock, Cron, DateTime, Duration, Effect, Layer, Option, Schema, type Scope } from "effect"
import { durationOption } from "../../core/internal/options.js"
import type { BudgetError } from "../../core/ShutdownConfig.js"
import { makeCodec } from "./internal/codec.js"
import { makePool } from "./internal/makePool.js"
import { runClock, tickId } from "./internal/scheduleClock.js"
import { nextRunAt } from "./internal/scheduleState.js"
import { ownTickTimes, tickSchedule } from "./internal/tickTimes.js"
import { singly } from "./internal/workers.js"
import type { JobContext } from "./JobContext.js"
import { type DeadLetters, JobSource, type JobSourceError, type QueueFull, type StoredJob } from "./JobSource.js"
import type { Tick } from "./ScheduledTask.js"
import { defaults as poolDefaults, type Options as PoolOptions } from "./WorkerPool.js"

export type { Tick }

/**
 * A job and when it runs. `name`, `schedule` and `run` are required. Those of the pool are the ones of `WorkerPool.Options`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<Cursor, E, R, R2 = never> extends
  Pick<
    PoolOptions<Tick, Cursor, E, R, R2>,
    "daemonTimeout" | "drainTimeout" | "lease" | "onEvent" | "permanent" | "releaseTimeout" | "retry"
  >
{
  /** The name of its queue, and of the pool in the shutdown report. */
  readonly name: string
  /**
   * When it runs. A `Cron` names times by the clock of its zone: give it one, because that of the system may differ between
   * processes. A duration, of at least a second, names its multiples counted from 1970 in UTC, so that all processes agree.
   */
  readonly schedule: Cron.Cron | Duration.DurationInput
  /** One run: the `process` of a pool, which fails, is retried and handed back as that is. */
  readonly run: (tick: Tick, job: JobContext<Cursor>) => Effect.Effect<unknown, E, R>
  /** The schema of the cursors of `job.checkpoint`. None by default: then they must be plain JSON. */
  readonly cursor?: (Schema.Schema.AnyNoContext & { readonly Type: Cursor }) | undefined
  /**
   * What becomes of ticks that no process took in time: because none was there, or the source was not available. `"skip"`, the
   * default: they are not run, as cron does. `"once"`: one run, for the last of them. `"all"`: one run each, one after the
   * other, the oldest first.
   */
  readonly missed?: "skip" | "once" | "all" | undefined
  /**
   * Since when a tick counts as missed that no process has taken; also, of several ticks all but the last do. A minute by
   * default: a deployment in which no process is there for seconds misses no tick of the day.
   */
  readonly missedAfter?: Duration.DurationInput | undefined
  /**
   * What becomes of a tick while the run before it has not ended, also between two of its attempts. `"skip"`, the default: it is
   * not run, so that a slow job is not behind for ever. `"queue"`: it runs when that run has ended, or has become a dead
   * letter, late by at most a tenth of the time that run took, and 5 seconds.
   */
  readonly overlap?: "skip" | "queue" | undefined
}

/**
 * The state of a scheduled job, for all processes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Status {
  /** Whether it is paused, as far as this process has heard: within the poll interval of the source when a message was lost. */
  readonly paused: boolean
  /** The tick that runs next; it is past while it waits for the run before it. None before the first look. */
  readonly nextRunAt: Option.Option<DateTime.Utc>
  /** The tick whose run was offered last; none before the first. */
  readonly lastRun: Option.Option<{
    /** The id of its job. */
    readonly id: string
    /** The tick. */
    readonly scheduledAt: DateTime.Utc
    /** The state of its job. `Ended`: it was acknowledged, or discarded. */
    readonly state: StoredJob["state"] | "Ended"
  }>
}

/**
 * The operations of a scheduled job. Each works in any process, and fails with `JobSourceError` when the source is unavailable.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The name of the job, and of the queue of its runs. */
  readonly name: string
  /** The state of the schedule. */
  readonly status: Effect.Effect<Status, JobSourceError>
  /** Offers a run at once and returns the id of its job. It does not wait for a run in another process, and moves no tick. */
  readonly runNow: Effect.Effect<string, JobSourceError | QueueFull>
  /**
   * Pauses the schedule for all processes, until `resume`: no tick begins a run. Ticks that pass meanwhile are missed ones. A run
   * goes on, and so do its attempts: to stop those as well, pause the queue `name`.
   */
  readonly pause: Effect.Effect<void, JobSourceError>
  /** Ends `pause`, by whatever process. */
  readonly resume: Effect.Effect<void, JobSourceError>
  /** A run as its queue stores it; none once it was acknowledged. */
  readonly find: (id: string) => Effect.Effect<Option.Option<StoredJob>, JobSourceError>
  /** The runs that failed for the last time. The schedule goes on after them. */
  readonly deadLetters: DeadLetters
}

/**
 * The defaults of `Options`, each with its reason there.
 *
 * @since 0.1.0
 * @category defaults
 */
export const defaults = { missed: "skip", missedAfter: Duration.minutes(1), overlap: "skip" } as const

/** The payload of a run. */
const Payload = Schema.Struct({ scheduledAt: Schema.DateTimeUtcFromNumber })

/** Longer than a process is frozen that still offers a tick when it wakes. */
const keepIdFor = Duration.hours(1)

const shortestInterval = Duration.seconds(1)

const scheduleOf = (name: string, schedule: Cron.Cron | Duration.DurationInput) => {
  if (Cron.isCron(schedule)) return tickSchedule(schedule)
  const interval = durationOption(name, "schedule", schedule, { positive: true })
  if (Duration.lessThan(interval, shortestInterval)) {
    throw new TypeError(`${name}: schedule is ${Duration.format(interval)}, and must be at least a second`)
  }
  return tickSchedule(interval)
}

/**
 * Runs a job by its schedule, in one of the processes that do so, until the current scope closes.
 *
 * **Errors:** `JobSourceError` when the source cannot open its queues, and `BudgetError` when the budget of `launch` can never hold a
 * timeout. A `Cron` that names no time (30 February), and a duration that makes no sense, are defects.
 *
 * **Promised:** over a durable source, a tick is decided on once, and has at most one job; over a database also when processes
 * die, or are frozen, at any point. Its run is promised what `WorkerPool` promises. The schedule goes on whatever becomes of a run.
 * **Not promised:** that a tick begins to the millisecond: a process that dies while it looks at the schedule delays it by a lease
 * (5 seconds over SQL, and 1 or 2 until that is noticed). Over `JobSourceMemory`, ticks are those of one process.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <Cursor, E, R, R2 = never>(
  options: Options<Cursor, E, R, R2>
): Effect.Effect<Service, JobSourceError | BudgetError, JobSource | R | R2 | Scope.Scope> =>
  Effect.gen(function*() {
    const { drainTimeout, name, onEvent, permanent, releaseTimeout, retry = poolDefaults.retry, run } = options
    const schedule = scheduleOf(name, options.schedule)
    const startedAt = yield* Clock.currentTimeMillis
    yield* ownTickTimes(schedule, startedAt)
    const source = yield* JobSource
    const services = yield* Effect.context<R | R2>()
    const runs = yield* makePool(
      name,
      source,
      {
        concurrency: 1,
        drainTimeout,
        releaseTimeout,
        daemonTimeout: options.daemonTimeout,
        lease: options.lease,
        quiesceOn: undefined,
        retry,
        isPermanent: (failure) => permanent?.(failure as E) ?? false,
        onEvent: onEvent as ((event: unknown) => Effect.Effect<unknown, unknown>) | undefined
      },
      singly({
        payload: makeCodec<Tick>(Payload),
        cursor: makeCodec<Cursor>(options.cursor),
        process: run as (tick: Tick, job: JobContext<Cursor>) => Effect.Effect<unknown, unknown>,
        services
      })
    )
    const clock = yield* runClock(source, {
      find: runs.find,
      offer: (id, tick) => runs.offer({ scheduledAt: DateTime.unsafeMake(tick) }, { id, keepIdFor })
    }, {
      name,
      drainTimeout,
      releaseTimeout,
      own: {
        schedule,
        startedAt,
        missed: options.missed ?? defaults.missed,
        overlap: options.overlap ?? defaults.overlap,
        missedAfter: durationOption(name, "missedAfter", options.missedAfter ?? defaults.missedAfter)
      }
    })
    return {
      name,
      find: runs.find,
      deadLetters: runs.deadLetters,
      pause: clock.pause,
      resume: clock.resume,
      runNow: Effect.flatMap(DateTime.now, (scheduledAt) => runs.offer({ scheduledAt })),
      status: Effect.gen(function*() {
        const state = yield* clock.state
        const last = Option.flatMap(state, ({ last }) => Option.fromNullable(last))
        return {
          paused: yield* clock.paused,
          nextRunAt: Option.map(state, (state) => DateTime.unsafeMake(nextRunAt(state))),
          lastRun: Option.isNone(last) ? Option.none() : Option.some({
            id: tickId(name, last.value.tick),
            scheduledAt: DateTime.unsafeMake(last.value.tick),
            state: Option.match(yield* runs.find(tickId(name, last.value.tick)), {
              onNone: () => "Ended" as const,
              onSome: ({ state }) => state
            })
          })
        }
      })
    }
  })

/**
 * `make` as a layer: put it in the app as any other, above the `JobSource` and what its runs use.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <Cursor, E, R, R2 = never>(
  options: Options<Cursor, E, R, R2>
): Layer.Layer<never, JobSourceError | BudgetError, JobSource | Exclude<R | R2, Scope.Scope>> =>
  Layer.scopedDiscard(make(options))
