/**
 * What happens to the jobs of a worker pool, as data.
 *
 * A run of a job begins with `Started` and ends with one of `Succeeded`, `Retried`, `Snoozed`, `DeadLettered`, `RunCancelled`, `HandedBack`,
 * `LeaseLost`, `Cut` or `Abandoned`. All but the last three are recorded after the source has stored them.
 *
 * The metric `lastcall_pool_events` counts events by pool and tag. The metric `lastcall_pool_in_flight` is the number of jobs
 * that run, `lastcall_pool_run` how long runs take, and `lastcall_pool_paused` is 1 while the pool is paused.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { JobEvent } from "lastcall"
 *
 * const onEvent = (event: JobEvent.JobEvent) =>
 *   JobEvent.JobEvent.$is("DeadLettered")(event)
 *     ? Effect.logError(`job ${event.id} of ${event.pool} failed: ${event.error}`)
 *     : Effect.void
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { type Cause, Data, type Duration } from "effect"
import type { PauseScope } from "./QueueControl.js"

/**
 * The field of every event.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolFields {
  /** The name of the pool. */
  readonly pool: string
}

/**
 * The fields of an event about one run of a job.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunFields extends PoolFields {
  /** The id of the job. */
  readonly id: string
  /** 1 for the first attempt. */
  readonly attempt: number
}

/**
 * The fields of an event about jobs that were stored or changed together.
 *
 * @since 0.1.0
 * @category models
 */
export interface BatchFields extends PoolFields {
  /** The ids that the operation was called with, or returned. */
  readonly ids: ReadonlyArray<string>
  /** The number of jobs that the operation changed. */
  readonly count: number
}

/**
 * An event of a worker pool.
 *
 * @since 0.1.0
 * @category models
 */
export type JobEvent = Data.TaggedEnum<{
  /** The jobs are in the queue. Recorded before the commit when the offer joined a transaction. */
  Offered: BatchFields
  /** Dead letters are jobs again. Recorded before the commit, as `Offered`. */
  Redriven: BatchFields
  /** Dead letters were deleted. Recorded before the commit, as `Offered`. */
  Discarded: BatchFields
  /** Jobs that waited or ran were cancelled by this pool. Recorded before the commit, as `Offered`. `RunCancelled` follows for a job that runs, in the process that runs it. */
  Cancelled: BatchFields
  /** The job was claimed and is about to run. */
  Started: RunFields
  /** A checkpoint was committed. `cursor` is encoded. */
  Checkpointed: RunFields & { readonly cursor: unknown }
  /** The job was acknowledged. */
  Succeeded: RunFields
  /** The job failed, and runs again after the delay. */
  Retried: RunFields & { readonly error: string; readonly delay: Duration.Duration }
  /** The job has put itself off: it runs again after the delay, with its attempt kept. */
  Snoozed: RunFields & { readonly delay: Duration.Duration }
  /** The job failed for the last time and is a dead letter. */
  DeadLettered: RunFields & { readonly error: string }
  /** The drain timeout has passed: the job was interrupted and has ended. `HandedBack` follows. */
  Interrupted: RunFields
  /** The job is available to other processes at once, with its attempt kept. */
  HandedBack: RunFields
  /** The job was cancelled while it ran: it was interrupted and has ended. Nothing was written after it was cancelled. */
  RunCancelled: RunFields
  /** The lease expired, or the job was cancelled and this process has missed the message. Nothing was written. */
  LeaseLost: RunFields
  /** The source was unavailable when the run ended. The lease will expire and spend the attempt. */
  Cut: RunFields & { readonly error: string }
  /** The job ignored its interruption. Other processes may run it at once, and its own writes are refused. */
  Abandoned: RunFields
  /** The pool begins no jobs: this process has paused it, or its queue is paused for all processes, perhaps since before it began. */
  Paused: PoolFields & { readonly scope: PauseScope }
  /** This pause has ended. The pool begins jobs again unless it is paused in the other way, too. */
  Resumed: PoolFields & { readonly scope: PauseScope }
  /** The pool claims no new jobs, and its jobs know it. */
  Quiesced: PoolFields
  /** The pool has ended. */
  Closed: PoolFields
  /** The source failed, and the pool retries until it answers. */
  SourceUnavailable: PoolFields & { readonly error: string }
  /** The source answers again. */
  SourceAvailable: PoolFields
  /** A fiber of the pool died. It restarts after the delay; without a delay the service shuts down. */
  Crashed: PoolFields & {
    /** `dispatcher` or `heartbeat`. */
    readonly fiber: string
    readonly cause: Cause.Cause<unknown>
    readonly restartIn: Duration.Duration | undefined
  }
}>

/**
 * The constructors of the events, with `$is` and `$match`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const JobEvent = Data.taggedEnum<JobEvent>()
