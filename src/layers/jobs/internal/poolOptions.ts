import type { Array, Config, Duration, Effect, Schedule, Schema } from "effect"
import type { Steps, Timeouts } from "../../../core/Drain.js"
import type { BatchContext, BatchJob, JobErrorOf } from "../JobBatch.js"
import type { JobContext, ResultOf } from "../JobContext.js"
import type { JobEvent } from "../JobEvent.js"

/**
 * See `Options.rateLimit`.
 *
 * @since 0.1.0
 * @category models
 */
export interface RateLimit {
  /** How many jobs may begin within the interval, at least 1. */
  readonly limit: number
  /** Finite, and above zero. */
  readonly interval: Duration.DurationInput
}

/**
 * The settings of a pool. Only `concurrency` and `process` have no defaults.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<Job, Cursor, E, R, R2 = never, Success = void> extends Timeouts {
  /**
   * The number of jobs that run at a time, at least 1. A job is claimed when a slot is free for it. Over a durable source, and without a
   * `rateLimit`, as many more are claimed ahead while jobs end within 100 ms: one that has not started after 100 ms is handed back.
   */
  readonly concurrency: number
  /**
   * Processes one job, outside any transaction, in a span of its own. It is interrupted when the drain timeout has passed;
   * then the job is handed back with its attempt kept, so the process must be able to start again, or to continue from
   * its cursor. Its value is the result of the job, if the pool has the schema `success`, unless `complete` has given one.
   */
  readonly process: (job: Job, context: JobContext<Cursor, Success>) => Effect.Effect<ResultOf<Success>, E, R>
  /**
   * How many jobs this process begins, retries included, in any time of the length of the interval. Each process has a limit of its own:
   * for all of them together, divide it. A job is claimed when it may begin, never ahead, so none waits for the limit while it is
   * claimed: a drain over a durable source ends with the jobs that run. A pool over memory keeps to the limit while it empties its queue, and what
   * is left when its time is over counts as cut. None by default.
   */
  readonly rateLimit?: RateLimit | undefined
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
   * How long the lease of a job lasts unless it is renewed. The pool renews it while the job runs; while the job
   * blocks the event loop, only `renewWhileBlocked` of the source does. By default the lease of the source.
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

/**
 * The settings of a pool that runs batches. Only `concurrency`, `batchSize` and `processAll` have no defaults.
 *
 * @since 0.1.0
 * @category models
 */
export interface BatchOptions<Job, E, R, R2 = never>
  extends Omit<Options<Job, never, E, R, R2>, "concurrency" | "process" | "permanent">
{
  /** The number of batches that run at a time, at least 1. Jobs are claimed when there is room for a batch; one batch ahead as `Options.concurrency` tells. */
  readonly concurrency: number
  /** The largest number of jobs in a batch, at least 1. A batch takes what is there, so it may have fewer. */
  readonly batchSize: number
  /**
   * How long a pool that has found its queue empty waits for more jobs once there is one, so that batches of a slow queue are
   * larger. Zero by default: the first job is claimed at once. A pool that stops does not wait.
   */
  readonly batchWait?: Duration.DurationInput | undefined
  /**
   * Processes the jobs of a batch, outside any transaction, in a span of its own. Jobs that it has not completed are acknowledged together
   * when it succeeds. To fail single jobs, fail with a `BatchError`. Any other failure, and a defect, is that of the whole batch: then each
   * of its jobs is run once more, alone, and only those that fail alone have failed. Both runs are one attempt, and one job for `rateLimit`.
   * An orphan runs alone, too.
   *
   * It is interrupted when the drain timeout has passed, and all of its jobs are handed back then, with their attempts kept.
   */
  readonly processAll: (
    jobs: Array.NonEmptyReadonlyArray<BatchJob<Job>>,
    batch: BatchContext<Job>
  ) => Effect.Effect<unknown, E, R>
  /** As `permanent` of `Options`, for the error of a single job. None by default. */
  readonly permanent?: ((error: NoInfer<JobErrorOf<E>>) => boolean) | undefined
}

type Scalars = Pick<Options<never, never, never, never>, "concurrency" | "lease" | "daemonTimeout" | keyof Timeouts>

/**
 * `Options` in which `concurrency`, `lease`, `daemonTimeout`, `drainTimeout` and `releaseTimeout` may each be a `Config`.
 *
 * @since 0.1.0
 * @category models
 */
export type ConfigOptions<Job, Cursor, E, R, R2 = never, Success = void> =
  & Omit<Options<Job, Cursor, E, R, R2, Success>, keyof Scalars>
  & {
    readonly [K in keyof Scalars]: Scalars[K] | Config.Config<Exclude<Scalars[K], undefined>>
  }

type BatchScalars = Pick<BatchOptions<never, never, never>, "batchSize" | "batchWait" | keyof Scalars>

/**
 * `BatchOptions` in which `batchSize`, `batchWait` and what may be one in `ConfigOptions` may each be a `Config`.
 *
 * @since 0.1.0
 * @category models
 */
export type BatchConfigOptions<Job, E, R, R2 = never> =
  & Omit<BatchOptions<Job, E, R, R2>, keyof BatchScalars>
  & {
    readonly [K in keyof BatchScalars]: BatchScalars[K] | Config.Config<Exclude<BatchScalars[K], undefined>>
  }

/**
 * The options of a pool without workers.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClientOptions<R = never> {
  /** As `onEvent` of `Options`, for `Offered`, `Redriven` and `Discarded`. None by default. */
  readonly onEvent?: ((event: JobEvent) => Effect.Effect<unknown, unknown, R>) | undefined
}

/**
 * The schemas of a pool: may be left out, unless it has results or failures.
 *
 * @since 0.1.0
 * @category models
 */
export type SchemasOf<Job, Cursor, Success, Failure = never> = [Success, Failure] extends [void, never]
  ? [schemas?: Schemas<Job, Cursor, Success, Failure>]
  : [
    schemas:
      & Schemas<Job, Cursor, Success, Failure>
      & Required<
        Pick<
          Schemas<Job, Cursor, Success, Failure>,
          ([Success] extends [void] ? never : "success") | ([Failure] extends [never] ? never : "failure")
        >
      >
  ]

/**
 * How jobs and cursors are encoded for the source. Without a schema a value is stored unchanged, so over a durable source it
 * must be plain JSON. A stored job that does not decode is moved to the dead letters. A job that does not encode
 * fails `offer` with a `JobSourceError`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Schemas<Job, Cursor, Success = void, Failure = never> {
  /** The schema of the jobs. It needs no services. */
  readonly payload?: Schema.Schema.AnyNoContext & { readonly Type: Job }
  /** The schema of the cursors. It needs no services. */
  readonly cursor?: Schema.Schema.AnyNoContext & { readonly Type: Cursor }
  /**
   * The schema of the results of the jobs, which `awaitResult` returns: they are stored as long as their ids are kept. It needs no services. Without it jobs
   * have no results. A result that does not encode has failed the attempt.
   */
  readonly success?: Schema.Schema.AnyNoContext & { readonly Type: Success }
  /**
   * The schema of the errors of the process, all but those of its `JobContext`. A job that becomes a dead letter because its process has failed with such an
   * error keeps it, encoded, beside its text: `failure` of a dead letter, and of `JobDeadLettered`. It needs no services. Without it the text is all that is
   * kept. An error that does not encode is logged as a warning, and its job is a dead letter without a failure. What failed an attempt before the last
   * one is not kept, and a redrive forgets the failure.
   */
  readonly failure?: Schema.Schema.AnyNoContext & { readonly Type: Failure }
}
