/**
 * Runs the jobs of a queue on supervised fibers: typed, drained at shutdown, and every job accounted for.
 *
 * @module
 * @since 0.1.0
 */
import type { ConfigError } from "effect"
import { Config, Context, Duration, Effect, Layer, Schedule } from "effect"
import { countOption, durationOption } from "../../core/internal/options.js"
import type { BudgetError } from "../../core/ShutdownConfig.js"
import { type Codec, makeCodec, storableCodec } from "./internal/codec.js"
import { asConfig, scalarsOf } from "./internal/configOptions.js"
import { makeFailures } from "./internal/failures.js"
import { makeClient } from "./internal/makeClient.js"
import { makePool } from "./internal/makePool.js"
import type {
  BatchConfigOptions,
  BatchOptions,
  ClientOptions,
  ConfigOptions,
  Options,
  RateLimit,
  Schemas,
  SchemasOf
} from "./internal/poolOptions.js"
import type { RedriveMatchingOptions, RunningJob, Service, Status } from "./internal/poolService.js"
import { makeRateLimit } from "./internal/rateLimit.js"
import { JobDeadLettered, JobGone } from "./internal/resultErrors.js"
import type { BatchProcess } from "./internal/runBatch.js"
import { inBatches, type PoolJobs, singly } from "./internal/workers.js"
import type { BatchErrorOf } from "./JobBatch.js"
import type { ErrorOf, JobContext, ResultOf } from "./JobContext.js"
import type { JobEvent } from "./JobEvent.js"
import type { JobSourceError, OfferAllOptions, OfferOptions, QueueFull } from "./JobSource.js"
import { JobSource } from "./JobSource.js"
import type { PauseScope, PoolControl } from "./QueueControl.js"

export { JobDeadLettered, JobGone }

export type {
  BatchConfigOptions,
  BatchOptions,
  ClientOptions,
  ConfigOptions,
  ErrorOf,
  JobContext,
  Options,
  RateLimit,
  RedriveMatchingOptions,
  ResultOf,
  RunningJob,
  Schemas,
  SchemasOf,
  Service,
  Status
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
 * The class that `Tag` makes: the tag of the pool with its operations and layers.
 *
 * @since 0.1.0
 * @category models
 */
export interface TagClass<
  in out Self,
  Name extends string,
  in out Job,
  in out Cursor,
  in out Success = void,
  in out Failure = never
> extends Context.TagClass<Self, `lastcall/WorkerPool/${Name}`, Service<Job, Success, Failure>>, PoolControl<Self> {
  /**
   * Offers a job and returns its id. In a transaction that the source joins, the job becomes visible with the commit. Fails
   * with `QueueFull` when the queue has no room (`capacity` of its source), and with `JobSourceError` when the source is unavailable.
   */
  readonly offer: (job: Job, options?: OfferOptions) => Effect.Effect<string, JobSourceError | QueueFull, Self>
  /** Offers all of the jobs or none, except those whose ids the queue already has. Returns the ids in order. */
  readonly offerAll: (
    jobs: ReadonlyArray<Job>,
    options?: OfferAllOptions
  ) => Effect.Effect<ReadonlyArray<string>, JobSourceError | QueueFull, Self>
  /** Waits until a job has succeeded, and returns its result. See `Service.awaitResult`. */
  readonly awaitResult: (
    id: string
  ) => Effect.Effect<Success, JobDeadLettered<Failure> | JobGone | JobSourceError, Self>
  /** Offers a job, waits until it has succeeded, and returns its result. See `Service.offerAndWait`. */
  readonly offerAndWait: (
    job: Job,
    options?: OfferOptions
  ) => Effect.Effect<Success, JobDeadLettered<Failure> | JobGone | JobSourceError | QueueFull, Self>
  /** The state of the pool in this process. */
  readonly status: Effect.Effect<Status, never, Self>
  /**
   * The pool that runs the jobs of this queue. Several processes may run it over one durable source. Fails with
   * `JobSourceError` when the source cannot open the queue, and with `BudgetError` when the budget of `launch` can never
   * hold a timeout. A `concurrency` below 1 is a defect, and so is a `lease` that is not above zero.
   */
  readonly layer: <E extends ErrorOf<Failure>, R, R2 = never>(
    options: Options<Job, Cursor, E, R, R2, Success>
  ) => Layer.Layer<Self, JobSourceError | BudgetError, JobSource | R | R2>
  /**
   * `layer` with options from the configuration, such as `concurrency: Config.integer("WORKERS")`. Fails with a
   * `ConfigError` when one of them is missing or invalid.
   */
  readonly layerConfig: <E extends ErrorOf<Failure>, R, R2 = never>(
    options: ConfigOptions<Job, Cursor, E, R, R2, Success>
  ) => Layer.Layer<Self, JobSourceError | BudgetError | ConfigError.ConfigError, JobSource | R | R2>
  /**
   * As `layer`, for a pool that runs jobs in batches: one call of `processAll`, and one transaction, for up to `batchSize` jobs. For jobs
   * that are cheaper together, such as rows to insert. A batch has no cursors. A job that is cancelled is left out of the writes of its
   * batch, which is interrupted when none of its jobs is left. Its jobs have no results: a pool with the schema `success` cannot run batches, which is
   * a defect.
   */
  readonly layerBatched: <E extends BatchErrorOf<Failure>, R, R2 = never>(
    options: BatchOptions<Job, E, R, R2>
  ) => Layer.Layer<Self, JobSourceError | BudgetError, JobSource | R | R2>
  /** `layerBatched` with options from the configuration. Fails with a `ConfigError` when one of them is missing or invalid. */
  readonly layerBatchedConfig: <E extends BatchErrorOf<Failure>, R, R2 = never>(
    options: BatchConfigOptions<Job, E, R, R2>
  ) => Layer.Layer<Self, JobSourceError | BudgetError | ConfigError.ConfigError, JobSource | R | R2>
  /**
   * The operations of the pool without its workers, for processes that offer jobs which others run: `running` is empty, and so is
   * `status`. It runs nothing, so it has nothing to drain and is not in the shutdown report: offers succeed until the source is
   * released. Fails with `JobSourceError` when the source cannot open the queue, or is not durable: no other process could run
   * its jobs.
   */
  readonly layerClient: <R = never>(options?: ClientOptions<R>) => Layer.Layer<Self, JobSourceError, JobSource | R>
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
  <Self, Job, Cursor = unknown, Success = void, Failure = never>(
    ...[schemas = {}]: SchemasOf<Job, Cursor, Success, Failure>
  ): TagClass<Self, Name, Job, Cursor, Success, Failure> => {
    const Pool = Context.Tag(`lastcall/WorkerPool/${name}`)<Self, Service<Job, Success, Failure>>()
    const payload = makeCodec(schemas.payload)
    const cursor = makeCodec(schemas.cursor)
    const success = schemas.success && storableCodec(makeCodec<Success>(schemas.success), "the result")
    const failures = makeFailures(schemas.failure && makeCodec<Failure>(schemas.failure))

    const poolLayer = <R>(
      { concurrency, lease, onEvent, permanent, retry = defaults.retry, ...rest }:
        & Omit<Options<never, never, never, never, R>, "process" | "permanent">
        & { readonly permanent?: ((error: never) => boolean) | undefined },
      jobs: (services: Context.Context<never>) => PoolJobs<Job>
    ) =>
      Layer.scoped(
        Pool,
        Effect.gen(function*() {
          return yield* makePool(
            name,
            yield* JobSource,
            {
              drainTimeout: rest.drainTimeout,
              releaseTimeout: rest.releaseTimeout,
              daemonTimeout: rest.daemonTimeout,
              quiesceOn: rest.quiesceOn,
              concurrency: countOption(name, "concurrency", concurrency, { least: 1 }),
              lease: lease === undefined
                ? undefined
                : durationOption(name, "lease", lease, { positive: true, unlimited: true }),
              rateLimit: rest.rateLimit && makeRateLimit(name, rest.rateLimit),
              retry,
              isPermanent: (failure) => permanent?.(failure as never) ?? false,
              onEvent: onEvent as ((event: JobEvent) => Effect.Effect<unknown, unknown>) | undefined
            },
            jobs(yield* Effect.context<R>()),
            { success, failures }
          )
        })
      )

    const layer = <E, R, R2 = never>(options: Options<Job, Cursor, E, R, R2, Success>) => {
      // Its types say that its values, and those of `complete`, are results.
      const process = options.process as (
        job: Job,
        context: JobContext<Cursor, never>
      ) => Effect.Effect<unknown, unknown>
      return poolLayer<R | R2>(
        options,
        (services) => singly({ payload, cursor, success: success as Codec<unknown> | undefined, process, services })
      )
    }

    const layerBatched = <E, R, R2 = never>(options: BatchOptions<Job, E, R, R2>) => {
      if (success !== undefined) {
        return Layer.die(new Error(`${name}: a pool with the schema \`success\` cannot run batches`))
      }
      const processAll = options.processAll as BatchProcess<Job>["processAll"]
      return poolLayer<R | R2>(options, (services) =>
        inBatches({
          batchSize: countOption(name, "batchSize", options.batchSize, { least: 1 }),
          batchWait: durationOption(name, "batchWait", options.batchWait ?? Duration.zero)
        }, { payload, processAll, services }))
    }

    const layerClient = <R = never>({ onEvent }: ClientOptions<R> = {}) =>
      Layer.scoped(
        Pool,
        Effect.gen(function*() {
          const services = yield* Effect.context<R>()
          return yield* makeClient(name, yield* JobSource, {
            payload,
            success,
            failures,
            onEvent: onEvent as ((event: JobEvent) => Effect.Effect<unknown, unknown>) | undefined,
            services
          })
        })
      )

    return Object.assign(Pool, {
      offer: (job: Job, options?: OfferOptions) => Effect.flatMap(Pool, (pool) => pool.offer(job, options)),
      offerAll: (jobs: ReadonlyArray<Job>, options?: OfferAllOptions) =>
        Effect.flatMap(Pool, (pool) => pool.offerAll(jobs, options)),
      awaitResult: (id: string) => Effect.flatMap(Pool, (pool) => pool.awaitResult(id)),
      offerAndWait: (job: Job, options?: OfferOptions) =>
        Effect.flatMap(Pool, (pool) => pool.offerAndWait(job, options)),
      status: Effect.flatMap(Pool, (pool) => pool.status),
      pause: (scope: PauseScope) => Effect.flatMap(Pool, (pool) => pool.pause(scope)),
      resume: (scope: PauseScope) => Effect.flatMap(Pool, (pool) => pool.resume(scope)),
      layer,
      layerBatched,
      layerBatchedConfig: <E, R, R2 = never>(options: BatchConfigOptions<Job, E, R, R2>) => {
        const { batchSize, batchWait } = options
        const scalars = Config.all({
          ...scalarsOf(options),
          batchSize: asConfig(batchSize),
          batchWait: asConfig(batchWait)
        })
        return Layer.unwrapEffect(
          Effect.map(scalars, (scalars) => layerBatched<E, R, R2>({ ...options, ...scalars }))
        )
      },
      layerClient,
      layerConfig: <E, R, R2 = never>(options: ConfigOptions<Job, Cursor, E, R, R2, Success>) =>
        Layer.unwrapEffect(
          Effect.map(Config.all(scalarsOf(options)), (scalars) => layer<E, R, R2>({ ...options, ...scalars }))
        )
    })
  }
