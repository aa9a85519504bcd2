/**
 * What the process of a job can use: its attempt and cursor, the drain of its pool, and transactions that settle the job.
 *
 * @example
 * ```ts
 * import { Effect, Option, Schema } from "effect"
 * import { WorkerPool } from "lastcall"
 *
 * class Counter extends WorkerPool.Tag("counter")<Counter, number, number>({ cursor: Schema.Int }) {}
 *
 * const CounterLive = Counter.layer({
 *   concurrency: 2,
 *   process: (upTo, job) =>
 *     Effect.gen(function*() {
 *       for (let n = Option.getOrElse(job.cursor, () => 0) + 1; n <= upTo; n++) {
 *         yield* job.checkpoint(n, Effect.log(`counted to ${n}`))
 *       }
 *     })
 * })
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { Data, type Duration, type Effect, type Option } from "effect"
import type { JobSourceError, LeaseLost } from "./JobSource.js"

/**
 * What the process of a job returns: its result, and anything in a pool without results.
 *
 * @since 0.1.0
 * @category models
 */
export type ResultOf<Success> = [Success] extends [void] ? unknown : Success

/**
 * What the process of a job may fail with: anything in a pool without the schema `failure`, and with it what the schema describes, and the errors of its
 * `JobContext`. Any other error is to be one of the schema, or a defect, as `Effect.orDie` makes it.
 *
 * @since 0.1.0
 * @category models
 */
export type ErrorOf<Failure> = [Failure] extends [never] ? unknown
  : Failure | LeaseLost | JobSourceError | Draining | Cancelled

/**
 * The second argument of a pool's `process`.
 *
 * @since 0.1.0
 * @category models
 */
export interface JobContext<in out Cursor, in Success = void> {
  /** The id of the job, the same in every attempt. */
  readonly id: string
  /** 1 for the first attempt. Failures and dead processes add one; hand-backs and interruptions do not. */
  readonly attempt: number
  /** The cursor of the job's last `checkpoint`, in whatever attempt and process it was; none before the first. */
  readonly cursor: Option.Option<Cursor>
  /**
   * A key for requests whose effect must not happen twice: the same in every run of this job, and different for every
   * other job. `step` makes different keys for the requests of one job.
   */
  readonly idempotencyKey: (step?: string) => string
  /**
   * Completes when the pool quiesces, before the job is interrupted. Over a durable source, a process that interrupts itself
   * from then on is handed back at once, with its attempt kept. Over memory no other process can run the job, so
   * interrupting itself is a failure there.
   */
  readonly draining: Effect.Effect<void>
  /**
   * `draining` for promises. Over a durable source it is aborted with `draining`; over any source it is aborted when the job
   * is interrupted. The reason is `Draining`, or `Cancelled` if the job was cancelled. A process that fails with
   * `Draining`, or with an error caused by it, is handed back, too.
   */
  readonly signal: AbortSignal
  /**
   * Runs the writes and acknowledges the job, in one short transaction where the source has transactions. After any failure,
   * `LeaseLost` included, nothing was written. When it has succeeded, the rest of the process cannot fail the job. In a pool with the schema `success` the
   * value of the writes is the result of the job.
   *
   * In a transaction of the process it takes effect, and is reported, when that transaction commits. A process that succeeds
   * although its last `complete` failed, or was rolled back, has failed with that error: to acknowledge the job without
   * the writes, call `complete(Effect.void)`.
   *
   * Fails with the errors of the writes; with `LeaseLost` when the job belongs to another run by now; with
   * `JobSourceError` when the source is unavailable.
   */
  readonly complete: <A extends ResultOf<Success>, E, R>(
    writes: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | LeaseLost | JobSourceError, R>
  /**
   * Runs the writes and stores the cursor, in one short transaction where the source has transactions. The next run of the
   * job starts with this cursor. When a durable pool is quiesced, the same transaction hands the job back, and then the
   * process is interrupted. Over memory the process continues. In a transaction of the process it takes effect when that
   * transaction commits, and the process is interrupted and handed back after that.
   *
   * Fails as `complete` does, and with `JobSourceError` when the cursor does not encode.
   */
  readonly checkpoint: <A, E, R>(
    cursor: Cursor,
    writes: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | LeaseLost | JobSourceError, R>
  /**
   * Puts the job off: it becomes available again after the delay, with its attempt kept, and then the process is interrupted. With
   * `cursor` the next run starts with it, otherwise with the cursor of the last checkpoint. For work whose time has not come: a rate
   * limit, a file that is not there yet. Nothing limits how often a job does so.
   *
   * Over a durable source a drain does not wait for the delay: the job is in the queue, and any process runs it. Over memory it
   * runs when the drain lasts that long, and counts as cut otherwise. In a transaction of the process it takes effect when that
   * transaction commits, and the process is interrupted after that.
   *
   * Fails as `complete(Effect.void)` does, and with `JobSourceError` when the cursor does not encode.
   */
  readonly snooze: (
    delay: Duration.DurationInput,
    options?: { readonly cursor: Cursor }
  ) => Effect.Effect<void, LeaseLost | JobSourceError>
}

/**
 * The reason of `JobContext.signal` when the job was cancelled.
 *
 * @since 0.1.0
 * @category errors
 */
export class Cancelled extends Data.TaggedError("Cancelled")<{
  /** The name of the pool. */
  readonly pool: string
  readonly id: string
}> {
  override get message() {
    return `${this.pool}: job ${this.id} was cancelled`
  }
}

/**
 * The reason of `JobContext.signal` when it is aborted for another reason.
 *
 * @since 0.1.0
 * @category errors
 */
export class Draining extends Data.TaggedError("Draining")<{
  /** The name of the pool. */
  readonly pool: string
}> {
  override get message() {
    return `${this.pool} is draining`
  }
}
