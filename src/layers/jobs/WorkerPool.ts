/**
 * Runs the jobs of a queue on supervised fibers: typed, drained at shutdown, and every job accounted for.
 *
 * @module
 * @since 0.1.0
 */
import type { ConfigError, DateTime, Duration, Option, Schema } from "effect"
import { Config, Context, Effect, Layer, Schedule } from "effect"
import type { Steps, Timeouts } from "../../core/Drain.js"
import { countOption, durationOption } from "../../core/internal/options.js"
import type { Progress } from "../../core/Shutdown.js"
import type { BudgetError } from "../../core/ShutdownConfig.js"
import { makePool } from "./internal/makePool.js"
import { makeCodec } from "./internal/runJob.js"
import type { JobContext } from "./JobContext.js"
import type { JobEvent } from "./JobEvent.js"
import type { DeadLetters, JobSourceError, OfferAllOptions, OfferOptions, QueueFull, StoredJob } from "./JobSource.js"
import { JobSource } from "./JobSource.js"

export type { JobContext }

/**
 * The settings of a pool. Only `concurrency` and `process` have no defaults.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<Job, Cursor, E, R, R2 = never> extends Timeouts {
  /** The number of jobs that run at a time, at least 1. A job is claimed when a slot is free for it, never ahead. */
  readonly concurrency: number
  /**
   * Processes one job, outside any transaction, in a span of its own. It is interrupted when the drain timeout has passed;
   * then the job is handed back with its attempt kept, so the process must be able to start again, or to continue from
   * its cursor.
   */
  readonly process: (job: Job, context: JobContext<Cursor>) => Effect.Effect<unknown, E, R>
  /**
   * When a failed job runs again, and when it is moved to the dead letters: the schedule's delays, for as many attempts as
   * the schedule allows. The schedule restarts for each job and is stepped by the number of attempts. By default five
   * attempts, about 1, 2, 4 and 8 seconds apart: a job survives an outage of seconds, and a bug does not occupy the
   * pool for a day. See `defaults`.
   */
  readonly retry?: Schedule.Schedule<unknown, void> | undefined
  /**
   * Failures that must not be retried: the job is moved to the dead letters at once. None by default. The errors of
   * `process` are inferred when `permanent` is written after it.
   */
  readonly permanent?: ((error: NoInfer<E>) => boolean) | undefined
  /**
   * How long the lease of a job lasts unless it is renewed. The pool renews it while the job runs. By default the lease of
   * the source.
   */
  readonly lease?: Duration.DurationInput | undefined
  /**
   * As `daemonTimeout` of `HttpServer`, for fibers that jobs left behind with `Effect.forkDaemon`. 5 seconds by default.
   */
  readonly daemonTimeout?: Duration.DurationInput | undefined
  /**
   * When the pool stops claiming jobs: when the shutdown begins (`"LameDuck"`), or when everything that depends on the
   * pool has been released (`"Release"`: right for pools whose results a request waits for). `"LameDuck"` by default
   * over a durable source, because another process can run the jobs. A pool over memory always uses `"Release"`, and
   * empties its queue after everything that offers jobs has been released.
   */
  readonly quiesceOn?: Steps<unknown>["quiesceOn"]
  /**
   * Runs for every event of the pool, in order, from before its first job until it is closed. It delays the job of its
   * event: hand the event to another fiber if that takes time. Failures are logged, and have no other effect. None by
   * default.
   */
  readonly onEvent?: ((event: JobEvent) => Effect.Effect<unknown, unknown, R2>) | undefined
}

type Scalars = Pick<Options<never, never, never, never>, "concurrency" | "lease" | "daemonTimeout" | keyof Timeouts>

/**
 * `Options` in which `concurrency`, `lease`, `daemonTimeout`, `drainTimeout` and `releaseTimeout` may each be a `Config`.
 *
 * @since 0.1.0
 * @category models
 */
export type ConfigOptions<Job, Cursor, E, R, R2 = never> =
  & Omit<Options<Job, Cursor, E, R, R2>, keyof Scalars>
  & {
    readonly [K in keyof Scalars]: Scalars[K] | Config.Config<Exclude<Scalars[K], undefined>>
  }

/**
 * The defaults of `Options`. `retry`: five attempts, about 1, 2, 4 and 8 seconds apart, varied by up to a fifth so that jobs
 * which failed together do not run again together.
 *
 * @since 0.1.0
 * @category defaults
 */
export const defaults: { readonly retry: Schedule.Schedule<unknown, void> } = {
  retry: Schedule.exponential("1 second").pipe(Schedule.jittered, Schedule.intersect(Schedule.recurs(4)))
}

/**
 * A job that this process runs now.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunningJob {
  /** The id of the job. */
  readonly id: string
  /** 1 for the first attempt. */
  readonly attempt: number
  /** When this run of the job began. */
  readonly startedAt: DateTime.Utc
  /** The cursor of the job's last checkpoint, encoded; none before the first. */
  readonly cursor: Option.Option<unknown>
}

/**
 * The state of a pool and its counts. A unit of work is one run of a job. `finished` counts runs whose success, retry or
 * dead letter was written to the source. `cut` counts runs that could not be written to the source, so that their lease
 * will expire, and the jobs that a pool over memory leaves behind.
 *
 * @since 0.1.0
 * @category models
 */
export interface Status extends Progress {
  /** `Running`, `Quiesced`, `Interrupting` or `Closed`; or `Waiting for the source: ...` or `Crashed: ...`, with the error. */
  readonly condition: string
  /** The number of jobs that run at a time at most. */
  readonly concurrency: number
}

/**
 * The operations of a pool.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service<in Job> {
  /**
   * Offers a job and returns its id. Joins the transaction of the caller, if the source has transactions. Fails with
   * `QueueFull` when a bounded source has no room, and with `JobSourceError` when the source is unavailable.
   */
  readonly offer: (job: Job, options?: OfferOptions) => Effect.Effect<string, JobSourceError | QueueFull>
  /** Offers all of the jobs or none, except those whose ids the queue already has. Returns the ids in order. */
  readonly offerAll: (
    jobs: ReadonlyArray<Job>,
    options?: OfferAllOptions
  ) => Effect.Effect<ReadonlyArray<string>, JobSourceError | QueueFull>
  /** The state of this pool in this process. */
  readonly status: Effect.Effect<Status>
  /** The jobs that this process runs, oldest first. */
  readonly running: Effect.Effect<ReadonlyArray<RunningJob>>
  /** A job as its queue stores it, in whatever process it runs; none once it was acknowledged. */
  readonly find: (id: string) => Effect.Effect<Option.Option<StoredJob>, JobSourceError>
  /** The dead letters of the queue as they are stored, also those that do not decode. */
  readonly deadLetters: DeadLetters
}

/**
 * How jobs and cursors are encoded for the source. Without a schema a value is stored unchanged, so over a durable source it
 * must be plain JSON. A stored job that does not decode is moved to the dead letters. A job that does not encode
 * fails `offer` with a `JobSourceError`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Schemas<Job, Cursor> {
  /** The schema of the jobs. It needs no services. */
  readonly payload?: Schema.Schema.AnyNoContext & { readonly Type: Job }
  /** The schema of the cursors. It needs no services. */
  readonly cursor?: Schema.Schema.AnyNoContext & { readonly Type: Cursor }
}

/**
 * The class that `Tag` makes: the tag of the pool with its operations and layers.
 *
 * @since 0.1.0
 * @category models
 */
export interface TagClass<in out Self, Name extends string, in out Job, in out Cursor>
  extends Context.TagClass<Self, `lastcall/WorkerPool/${Name}`, Service<Job>>
{
  /**
   * Offers a job and returns its id. In a transaction that the source joins, the job becomes visible with the commit. Fails
   * with `QueueFull` when a bounded source has no room, and with `JobSourceError` when the source is unavailable.
   */
  readonly offer: (job: Job, options?: OfferOptions) => Effect.Effect<string, JobSourceError | QueueFull, Self>
  /** Offers all of the jobs or none, except those whose ids the queue already has. Returns the ids in order. */
  readonly offerAll: (
    jobs: ReadonlyArray<Job>,
    options?: OfferAllOptions
  ) => Effect.Effect<ReadonlyArray<string>, JobSourceError | QueueFull, Self>
  /** The state of the pool in this process. */
  readonly status: Effect.Effect<Status, never, Self>
  /**
   * The pool that runs the jobs of this queue. Several processes may run it over one durable source. Fails with
   * `JobSourceError` when the source cannot open the queue, and with `BudgetError` when the budget of `launch` can never
   * hold a timeout. A `concurrency` below 1 is a defect, and so is a `lease` that is not above zero.
   */
  readonly layer: <E, R, R2 = never>(
    options: Options<Job, Cursor, E, R, R2>
  ) => Layer.Layer<Self, JobSourceError | BudgetError, JobSource | R | R2>
  /**
   * `layer` with options from the configuration, such as `concurrency: Config.integer("WORKERS")`. Fails with a
   * `ConfigError` when one of them is missing or invalid.
   */
  readonly layerConfig: <E, R, R2 = never>(
    options: ConfigOptions<Job, Cursor, E, R, R2>
  ) => Layer.Layer<Self, JobSourceError | BudgetError | ConfigError.ConfigError, JobSource | R | R2>
}

/**
 * Makes the class of a pool. `name` names its queue, and the pool in the shutdown report.
 *
 * The end of its process decides what happens to a job. *Success* acknowledges it, unless `complete` already did. A
 * *failure or defect* spends the attempt: the job is retried by the schedule, or moved to the dead letters.
 * *Interruption* by the pool hands the job back: its attempt is kept, and other processes are woken. A *dead process*
 * spends the attempt when the lease expires. A process runs such jobs one at a time, for up to ten minutes each, beside
 * others: one that ends its process becomes a dead letter without them.
 *
 * **Promised:** an accepted job is finished, handed back, or counted as cut. A claimed job belongs to one run at a time:
 * `complete` and `checkpoint` write nothing for a run that has lost its lease. **Not promised:** that a process runs
 * only once. Effects other than those two may happen again.
 *
 * @example
 * ```ts
 * import { Config, Effect, Layer } from "effect"
 * import { JobSourceMemory, WorkerPool } from "lastcall"
 *
 * class Mailer extends WorkerPool.Tag("mailer")<Mailer, { readonly to: string }>() {}
 *
 * const MailerLive = Mailer.layerConfig({
 *   concurrency: Config.withDefault(Config.integer("WORKERS"), 8),
 *   drainTimeout: "10 seconds",
 *   process: ({ to }) => Effect.log(`mail to ${to}`)
 * }).pipe(Layer.provide(JobSourceMemory.layer()))
 *
 * const program = Mailer.offer({ to: "ada@example.org" }).pipe(Effect.provide(MailerLive))
 * ```
 *
 * @see {@link Options} for the settings of a pool and their defaults
 * @since 0.1.0
 * @category constructors
 */
export const Tag =
  <const Name extends string>(name: Name) =>
  <Self, Job, Cursor = unknown>(schemas: Schemas<Job, Cursor> = {}): TagClass<Self, Name, Job, Cursor> => {
    const Pool = Context.Tag(`lastcall/WorkerPool/${name}`)<Self, Service<Job>>()
    const payload = makeCodec(schemas.payload)
    const cursor = makeCodec(schemas.cursor)

    const layer = <E, R, R2 = never>(options: Options<Job, Cursor, E, R, R2>) =>
      Layer.scoped(
        Pool,
        Effect.gen(function*() {
          const { lease, onEvent, permanent, process, quiesceOn, retry = defaults.retry, ...timeouts } = options
          const services = yield* Effect.context<R | R2>()
          return yield* makePool(name, yield* JobSource, {
            ...timeouts,
            concurrency: countOption(name, "concurrency", options.concurrency, { least: 1 }),
            lease: lease === undefined
              ? undefined
              : durationOption(name, "lease", lease, { positive: true, unlimited: true }),
            quiesceOn,
            retry,
            isPermanent: (failure) => permanent?.(failure as E) ?? false,
            onEvent: onEvent &&
              ((event) =>
                Effect.catchAllCause(Effect.provide(Effect.suspend(() => onEvent(event)), services), (cause) =>
                  Effect.logWarning(`${name}: onEvent failed`, cause)))
          }, {
            payload,
            cursor,
            process: (job, context) =>
              Effect.provide(process(job, context), services)
          })
        })
      )

    return Object.assign(Pool, {
      offer: (job: Job, options?: OfferOptions) => Effect.flatMap(Pool, (pool) => pool.offer(job, options)),
      offerAll: (jobs: ReadonlyArray<Job>, options?: OfferAllOptions) =>
        Effect.flatMap(Pool, (pool) => pool.offerAll(jobs, options)),
      status: Effect.flatMap(Pool, (pool) => pool.status),
      layer,
      layerConfig: <E, R, R2 = never>(options: ConfigOptions<Job, Cursor, E, R, R2>) => {
        const scalars = Config.all({
          concurrency: asConfig(options.concurrency),
          lease: asConfig(options.lease),
          daemonTimeout: asConfig(options.daemonTimeout),
          drainTimeout: asConfig(options.drainTimeout),
          releaseTimeout: asConfig(options.releaseTimeout)
        })
        return Layer.unwrapEffect(Effect.map(scalars, (scalars) => layer<E, R, R2>({ ...options, ...scalars })))
      }
    })
  }

const asConfig = <A>(value: A | Config.Config<A>): Config.Config<A> =>
  Config.isConfig(value) ? value as Config.Config<A> : Config.succeed(value as A)
