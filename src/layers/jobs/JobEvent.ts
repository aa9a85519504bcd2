/**
 * What happens to the jobs of a worker pool: each transition, as data.
 *
 * A run of a job begins with `Taken` and ends with one of `Succeeded`, `Retried`, `DeadLettered`, `HandedBack`, `Lost`,
 * `Cut` or `Abandoned`. What the event of an end says has been written down by then, except for the last three.
 *
 * @since 0.1.0
 */
import { type Cause, Data, type Duration } from "effect"

/**
 * @since 0.1.0
 * @category models
 */
export interface OfPool {
  readonly pool: string
}

/**
 * One run of a job: its id, and the number of its attempt.
 *
 * @since 0.1.0
 * @category models
 */
export interface OfJob extends OfPool {
  readonly id: string
  readonly attempt: number
}

/**
 * Jobs that this process did something with while they did not run.
 *
 * @since 0.1.0
 * @category models
 */
export interface OfJobs extends OfPool {
  readonly ids: ReadonlyArray<string>
  /** How many of those that were named it was true of. */
  readonly count: number
}

/**
 * @since 0.1.0
 * @category models
 */
export type JobEvent = Data.TaggedEnum<{
  /** They are in the queue, or were already. Within a transaction it is told at once, and true when that commits. */
  Offered: OfJobs
  /** Dead letters became jobs again; in a transaction as `Offered`. */
  Revived: OfJobs
  /** Dead letters were forgotten; in a transaction as `Offered`. */
  Discarded: OfJobs
  /** Leased, and about to run. */
  Taken: OfJob
  /** Its writes and its cursor, as it is stored, were committed. */
  Checkpointed: OfJob & { readonly cursor: unknown }
  /** Acknowledged. */
  Succeeded: OfJob
  /** It failed, and runs again after the delay. */
  Retried: OfJob & { readonly error: string; readonly delay: Duration.Duration }
  /** It was given up. */
  DeadLettered: OfJob & { readonly error: string }
  /** Its time is over: it was interrupted, and will be handed back when it has ended. */
  Interrupted: OfJob
  /** Available to others at once, the attempt kept. */
  HandedBack: OfJob
  /** It belongs to somebody else: its lease ran out, or it was cancelled. Nothing was written. */
  Lost: OfJob
  /** The source could not be told what became of it: its lease will run out, at the cost of the attempt. */
  Cut: OfJob & { readonly error: string }
  /** It ignored its interruption and was left behind. Others may take it at once, and what it still writes is refused. */
  Abandoned: OfJob
  /** The pool takes nothing new; its jobs have been told. */
  Quiesced: OfPool
  /** The pool has ended. */
  Closed: OfPool
  /** The source does not answer; it is asked again until it does. */
  SourceAway: OfPool & { readonly error: string }
  SourceBack: OfPool
  /** A fiber of the pool died. It is started again after the delay, or, without one, the service is told to stop. */
  Crashed: OfPool & {
    readonly fiber: string
    readonly cause: Cause.Cause<unknown>
    readonly restartIn: Duration.Duration | undefined
  }
}>

/**
 * Makes, tells apart (`$is`) and matches (`$match`) events.
 *
 * @since 0.1.0
 * @category constructors
 */
export const JobEvent = Data.taggedEnum<JobEvent>()
