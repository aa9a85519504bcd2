import type { DateTime, Effect, Option } from "effect"
import type { Progress } from "../../../core/Shutdown.js"
import type { DeadLetters, JobSourceError, OfferAllOptions, OfferOptions, QueueFull, StoredJob } from "../JobSource.js"
import type { PauseScope, PoolControl, QueueListing } from "../QueueControl.js"
import type { JobDeadLettered, JobGone } from "./resultErrors.js"

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
 * The state of a pool and its counts. A unit of work is one run of a job. `finished` counts runs whose success, retry,
 * snooze, dead letter or cancel was written to the source. `cut` counts runs that could not be written to the source, so that their lease
 * will expire, and the jobs that a pool over memory leaves behind.
 *
 * @since 0.1.0
 * @category models
 */
export interface Status extends Progress {
  /**
   * `Running`, `Paused`, `Quiesced`, `Interrupting` or `Closed`; or `Waiting for the source: ...` or `Crashed: ...`, with the
   * error. `Client` without workers.
   */
  readonly condition: string
  /** The number of jobs that run at a time at most: 0 without workers. */
  readonly concurrency: number
  /** What is paused, see `QueueControl.PauseScope`; empty when nothing is. */
  readonly paused: ReadonlyArray<PauseScope>
}

/**
 * Which dead letters are redriven, see `Service.redriveMatching`.
 *
 * @since 0.1.0
 * @category models
 */
export interface RedriveMatchingOptions {
  /** A part of their error, as it is written. All of them by default. */
  readonly error?: string | undefined
  /** How many at most, those that failed first. All of them by default. */
  readonly limit?: number | undefined
  /** Whether they forget their cursors. `false` by default. */
  readonly fromStart?: boolean | undefined
}

/**
 * The operations of a pool.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service<in Job, out Success = unknown, out Failure = unknown> extends PoolControl, QueueListing {
  /** The name of the pool, and of its queue. */
  readonly name: string
  /**
   * Offers a job and returns its id. Joins the transaction of the caller, if the source has transactions. Fails with
   * `QueueFull` when the queue has no room (`capacity` of its source), and with `JobSourceError` when the source is unavailable.
   */
  readonly offer: (job: Job, options?: OfferOptions) => Effect.Effect<string, JobSourceError | QueueFull>
  /** Offers all of the jobs or none, except those whose ids the queue already has. Returns the ids in order. */
  readonly offerAll: (
    jobs: ReadonlyArray<Job>,
    options?: OfferAllOptions
  ) => Effect.Effect<ReadonlyArray<string>, JobSourceError | QueueFull>
  /**
   * Waits until this job has succeeded, in whatever process, and returns its result, `undefined` for a pool without the schema `success`. Fails with
   * `JobDeadLettered`, or with `JobGone` when it was cancelled or discarded, or is not known: an id is known as long as its job waits, runs or is a dead
   * letter, and for `keepIdFor` after its success, which is at least a minute for a job that was awaited before. Jobs that were offered without an id
   * may be awaited, except over `JobSourceRedis`, until they have ended.
   *
   * Nothing bounds the wait but the end of the job: use `Effect.timeout`. Its interruption leaves the job as it is, and while the source is unavailable it
   * goes on. A retry, a hand-back and a redrive do not end a job: in a drain of this pool it waits for the process that runs the job next, until the pool is
   * released, when it fails with `JobSourceError`. It fails with that, too, in a transaction, and for a result that does not decode.
   */
  readonly awaitResult: (id: string) => Effect.Effect<Success, JobDeadLettered<Failure> | JobGone | JobSourceError>
  /**
   * `offer`, and then `awaitResult`. The id, given or not, is kept for `keepIdFor`, at least a minute. Repeated with an id that the queue has, it waits for
   * that job, or returns its result. In a job of the same pool it holds a slot while it waits for another one.
   */
  readonly offerAndWait: (
    job: Job,
    options?: OfferOptions
  ) => Effect.Effect<Success, JobDeadLettered<Failure> | JobGone | JobSourceError | QueueFull>
  /** The state of this pool in this process. */
  readonly status: Effect.Effect<Status>
  /** The jobs that this process runs, oldest first. */
  readonly running: Effect.Effect<ReadonlyArray<RunningJob>>
  /** The number of jobs that wait, delayed ones included, in the whole queue. */
  readonly size: Effect.Effect<number, JobSourceError>
  /** A job as its queue stores it, in whatever process it runs; none once it was acknowledged. */
  readonly find: (id: string) => Effect.Effect<Option.Option<StoredJob>, JobSourceError>
  /**
   * Cancels jobs that wait or run, and returns their number: skips dead letters, and ids that the queue does not have. A job that waits
   * is removed. One that runs, in whatever process, is interrupted, with its `JobContext.signal` aborted; it is not retried, and
   * what it writes with `complete` or `checkpoint` after this has returned is not committed. A process that has missed the message
   * learns of it when it renews the lease. The ids are free at once. Joins transactions as `offer` does.
   *
   * While a pool drains it is the same: a job that is cancelled is not awaited any longer than it takes to end, and not handed back.
   */
  readonly cancel: (ids: ReadonlyArray<string>) => Effect.Effect<number, JobSourceError>
  /**
   * The dead letters of the queue as they are stored, also those that do not decode. Their failures are decoded by the schema `failure`, and none
   * without it. One that does not decode is none, too: `find` and `list` of the pool show what is stored.
   */
  readonly deadLetters: DeadLetters<Failure>
  /**
   * Redrives the dead letters whose error contains a text, and returns their number: for the time after an outage, or a bug that was
   * fixed. In batches, each of which is one change: when it fails, or its caller is interrupted, some may be redriven, and the rest are
   * dead letters as before. A job that fails again meanwhile is not redriven again.
   */
  readonly redriveMatching: (options: RedriveMatchingOptions) => Effect.Effect<number, JobSourceError>
}
