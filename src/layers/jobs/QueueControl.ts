/**
 * How a queue is operated: paused, resumed, listed and measured, and its jobs cancelled.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { WorkerPool } from "lastcall"
 *
 * class Mailer extends WorkerPool.Tag("mailer")<Mailer, { readonly to: string }>() {}
 *
 * // No process begins a mail while the mail server is moved.
 * const whilePaused = <A, E, R>(move: Effect.Effect<A, E, R>) =>
 *   Effect.zipRight(Mailer.pause("Queue"), Effect.zipLeft(move, Mailer.resume("Queue")))
 * ```
 *
 * @module
 * @since 0.1.0
 */
import type { DateTime, Effect, Option, Scope, Subscribable } from "effect"
import type { InvalidPosition, JobSourceError } from "./internal/sourceErrors.js"

/**
 * Where a job is: `Waiting` to be claimed, `Delayed` until it may be, `Blocked` by another job of its key, or by jobs that it depends on, `Running` in a
 * process, or a `Dead` letter.
 *
 * @since 0.1.0
 * @category models
 */
export type JobState = "Waiting" | "Delayed" | "Blocked" | "Running" | "Dead"

/**
 * A job as its queue stores it.
 *
 * @since 0.1.0
 * @category models
 */
export interface StoredJob {
  /** The id that `offer` was given, or has returned. */
  readonly id: string
  /** `Running` includes jobs of a dead process until their lease expires. */
  readonly state: JobState
  /** Of the jobs with this key one runs at a time, see `OfferOptions.key`; none when it was offered without one. */
  readonly key: Option.Option<string>
  /** Encoded. */
  readonly payload: unknown
  /** The attempt that waits, runs, or was the last one; 1 for the first. */
  readonly attempt: number
  /** The cursor of the last checkpoint, encoded; none before the first. */
  readonly cursor: Option.Option<unknown>
  /** When it was offered. */
  readonly offeredAt: DateTime.Utc
  /** When it became available, or will; of a job that runs or is dead, for its last run. */
  readonly dueAt: DateTime.Utc
  /** The run of a job that runs. */
  readonly run: Option.Option<JobRun>
  /** The error of the last attempt that failed, as text; none before the first. */
  readonly error: Option.Option<string>
  /** What a dead letter failed with, encoded by the schema `failure` of its pool, see `JobSource.DeadLetter`; none unless it is one. */
  readonly failure: Option.Option<unknown>
  /** When the job became a dead letter; none unless it is one. */
  readonly failedAt: Option.Option<DateTime.Utc>
}

/**
 * Where a job runs.
 *
 * @since 0.1.0
 * @category models
 */
export interface JobRun {
  /** The process, as `host/pid`; none when another program has claimed the job, or a version of this one that did not say it. */
  readonly by: Option.Option<string>
  /** When it was claimed; none as `by`. */
  readonly since: Option.Option<DateTime.Utc>
  /** When its lease expires unless it is renewed; none when it never does, or has expired. */
  readonly leaseUntil: Option.Option<DateTime.Utc>
}

/**
 * A number of jobs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Count {
  /** How many. */
  readonly count: number
  /** Whether it is an estimate, from a sample: counting a million jobs would take as long as a hundred claims. */
  readonly estimated: boolean
}

/**
 * How much is in a queue.
 *
 * @since 0.1.0
 * @category models
 */
export interface Depth {
  /** The jobs of each state. */
  readonly jobs: Readonly<Record<JobState, Count>>
  /** Since when the job that waits longest has been available; none when none waits. How long ago that is, is what to alert on. */
  readonly oldest: Option.Option<DateTime.Utc>
}

/**
 * A part of the jobs of one state.
 *
 * @since 0.1.0
 * @category models
 */
export interface JobPage {
  /** The jobs, in order. */
  readonly jobs: ReadonlyArray<StoredJob>
  /** The position after the last of them; none when there were no more. */
  readonly next: Option.Option<string>
}

/**
 * What is in a queue, for people who look at it. Nothing here is needed to run jobs.
 *
 * @since 0.1.0
 * @category models
 */
export interface QueueListing {
  /**
   * At most `limit` jobs of this state: those that wait and those that are delayed in the order in which they became due, or will; those that are blocked by jobs they depend on, then those of each key;
   * those that run by when they were claimed; dead letters by when they failed. From the start, or after a position that `next` was.
   * The engine finds its place by an index, so the last page costs no more than the first. Jobs that change their state meanwhile may be listed twice, or not at
   * all; the others are listed once. Fails with `InvalidPosition` for any other text.
   */
  readonly list: (options: {
    readonly state: JobState
    readonly limit: number
    readonly after?: string | undefined
  }) => Effect.Effect<JobPage, InvalidPosition | JobSourceError>
  /** How many jobs of each state this engine can list, from the first: infinity for all of them. */
  readonly listLimits: Readonly<Record<JobState, number>>
  /** How many jobs of each state there are, and since when the oldest waits: cheap, however many there are. */
  readonly depth: Effect.Effect<Depth, JobSourceError>
}

/**
 * What is paused: the pool of this process alone, until it is resumed or the process ends; or the queue, for every process,
 * stored by the engine until it is resumed. A pool is paused while either is.
 *
 * @since 0.1.0
 * @category models
 */
export type PauseScope = "Process" | "Queue"

/**
 * The part of `JobSource.JobQueue` that operates a queue.
 *
 * @since 0.1.0
 * @category models
 */
export interface QueueControl extends QueueListing {
  /**
   * Whether the queue is paused, as far as this process has heard: at once when another process says so, and within the
   * engine's poll interval when its message was lost, or when another program has paused the queue.
   */
  readonly paused: Subscribable.Subscribable<boolean>
  /**
   * Pauses the queue for all processes, or resumes it, and tells them. The engine stores it, so it outlives every process.
   * Once the queue is paused, `claim` returns no jobs in any process; those that are claimed are renewed and settled as ever.
   * Offers are accepted.
   */
  readonly setPaused: (paused: boolean) => Effect.Effect<void, JobSourceError>
  /**
   * Removes jobs that wait or run, and returns their number: skips dead letters, and ids that the queue does not have. The ids are
   * free at once. From then on no claim of such a job can settle it, so nothing that it writes in `transact` is committed. Joins
   * transactions as `offer` does.
   */
  readonly cancel: (ids: ReadonlyArray<string>) => Effect.Effect<number, JobSourceError>
  /**
   * Until the scope closes, runs the effect with the token of each claim whose job was cancelled, by whatever process. Once after
   * the commit, or never when the message was lost: then `renew` returns the claim. The effect must not wait.
   */
  readonly onCancel: (run: (token: string) => Effect.Effect<void>) => Effect.Effect<void, never, Scope.Scope>
}

/**
 * How a pool is paused and resumed. `R` is the tag of the pool where its class has these operations, and `never` in its service.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolControl<out R = never> {
  /**
   * Begins no job from then on: when it has returned, this process begins none, and with `"Queue"` no other one does that has
   * this version. Jobs that run go on, and offers are accepted. A paused pool drains at once: it waits for the jobs that run, and
   * a pool over memory leaves the others, which the report counts as cut. `"Queue"` fails with `JobSourceError` while the source
   * is unavailable; `"Process"` never fails.
   */
  readonly pause: (scope: PauseScope) => Effect.Effect<void, JobSourceError, R>
  /** Takes back the `pause` of the same scope, by whatever process it was paused. Does nothing when it is not paused. */
  readonly resume: (scope: PauseScope) => Effect.Effect<void, JobSourceError, R>
}
