/**
 * What a worker pool tells the process of a job, and what that can do about it.
 *
 * @since 0.1.0
 */
import { Data, type Effect, type Option } from "effect"
import type { JobSourceError, LeaseLost } from "./JobSource.js"

/**
 * What a process knows of its job, and how it settles it together with what it writes.
 *
 * @since 0.1.0
 * @category models
 */
export interface JobContext<in out Cursor> {
  readonly id: string
  /** 1 for the first. Failures and dead processes add one, interruptions do not. */
  readonly attempt: number
  /** Where the last `checkpoint` got to, in whatever attempt and process that was. */
  readonly cursor: Option.Option<Cursor>
  /**
   * The same for every run of this job, and for no other: what to send along with a request that must not have its effect
   * twice. `step` tells the requests of one job apart.
   */
  readonly idempotencyKey: (step?: string) => string
  /**
   * Completes when the pool takes nothing new any more, which is before the time of its jobs is over. A process that
   * interrupts itself from then on is handed back at once over a durable source, its attempt kept. Over memory, where
   * there is nobody to hand it to, that would be a failure as ever.
   */
  readonly draining: Effect.Effect<void>
  /**
   * The same for promises: aborted when the job may stop, over a durable source with `draining`, and in any case when it
   * is interrupted. A process that fails for this reason (`Draining`, or an error that it caused) is handed back too.
   */
  readonly signal: AbortSignal
  /**
   * Ends the job: the writes and its acknowledgement in one short transaction, where the source has transactions. All or
   * nothing: with `LeaseLost` or any other failure, nothing was written. What the process does afterwards is no part of
   * the job any more, and cannot fail it.
   */
  readonly complete: <A, E, R>(writes: Effect.Effect<A, E, R>) => Effect.Effect<A, E | LeaseLost | JobSourceError, R>
  /**
   * Commits the writes and the cursor in one short transaction, as `complete` does; the next run goes on from there. When
   * the pool was told to stop, the same commit hands the job back, and then the job ends by interrupting itself. Over
   * memory it goes on.
   */
  readonly checkpoint: <A, E, R>(
    cursor: Cursor,
    writes: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | LeaseLost | JobSourceError, R>
}

/**
 * Why `JobContext.signal` was aborted.
 *
 * @since 0.1.0
 * @category errors
 */
export class Draining extends Data.TaggedError("Draining")<{ readonly pool: string }> {
  override get message() {
    return `${this.pool} is draining`
  }
}
