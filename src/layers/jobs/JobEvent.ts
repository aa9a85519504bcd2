/**
 * What happens to the jobs of a worker pool: each transition, as data.
 *
 * A run of a job begins with `Started` and ends with one of `Succeeded`, `Retried`, `DeadLettered`, `HandedBack`, `LeaseLost`,
 * `Cut` or `Abandoned`. What the event of an end says has been written down by then, except for the last three.
 *
 * @since 0.1.0
 */
import { type Cause, Data, type Duration } from "effect"

/**
 * @since 0.1.0
 * @category models
 */
export interface PoolFields {
  readonly pool: string
}

/**
 * One run of a job: its id, and the number of its attempt.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunFields extends PoolFields {
  readonly id: string
  readonly attempt: number
}

/**
 * Jobs that this process did something with while they did not run.
 *
 * @since 0.1.0
 * @category models
 */
export interface BatchFields extends PoolFields {
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
  Offered: BatchFields
  /** Dead letters became jobs again; in a transaction as `Offered`. */
  Redriven: BatchFields
  /** Dead letters were forgotten; in a transaction as `Offered`. */
  Discarded: BatchFields
  /** Leased, and about to run. */
  Started: RunFields
  /** Its writes and its cursor, as it is stored, were committed. */
  Checkpointed: RunFields & { readonly cursor: unknown }
  /** Acknowledged. */
  Succeeded: RunFields
  /** It failed, and runs again after the delay. */
  Retried: RunFields & { readonly error: string; readonly delay: Duration.Duration }
  /** It was given up. */
  DeadLettered: RunFields & { readonly error: string }
  /** Its time is over: it was interrupted, and will be handed back when it has ended. */
  Interrupted: RunFields
  /** Available to others at once, the attempt kept. */
  HandedBack: RunFields
  /** It belongs to somebody else: its lease ran out, or it was cancelled. Nothing was written. */
  LeaseLost: RunFields
  /** The source could not be told what became of it: its lease will run out, at the cost of the attempt. */
  Cut: RunFields & { readonly error: string }
  /** It ignored its interruption and was left behind. Others may take it at once, and what it still writes is refused. */
  Abandoned: RunFields
  /** The pool takes nothing new; its jobs have been told. */
  Quiesced: PoolFields
  /** The pool has ended. */
  Closed: PoolFields
  /** The source does not answer; it is asked again until it does. */
  SourceUnavailable: PoolFields & { readonly error: string }
  SourceAvailable: PoolFields
  /** A fiber of the pool died. It is started again after the delay, or, without one, the service is told to stop. */
  Crashed: PoolFields & {
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
