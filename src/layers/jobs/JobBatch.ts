/**
 * What a pool's `processAll` can use: the jobs of a batch, transactions that acknowledge them, and the way to fail some of them.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Array, Effect, Layer } from "effect"
 * import { Database, JobBatch, JobSourceSql, WorkerPool } from "lastcall"
 *
 * class Letters extends WorkerPool.Tag("letters")<Letters, { readonly to: string }>() {}
 *
 * // One transaction and two statements for up to a hundred letters.
 * const LettersLive = Letters.layerBatched({
 *   concurrency: 2,
 *   batchSize: 100,
 *   processAll: (letters, batch) =>
 *     Effect.gen(function*() {
 *       const sql = yield* SqlClient.SqlClient
 *       const [bad, good] = Array.partition(letters, ({ payload }) => payload.to.includes("@"))
 *       if (Array.isNonEmptyReadonlyArray(good)) {
 *         yield* batch.complete(good, (held) => sql`INSERT INTO letters ${sql.insert(held.map(({ payload }) => payload))}`)
 *       }
 *       if (bad.length > 0) {
 *         return yield* new JobBatch.BatchError({ failures: bad.map(({ id }) => ({ id, error: "no address" as const })) })
 *       }
 *     }),
 *   permanent: (error) => error === "no address"
 * }).pipe(Layer.provide(JobSourceSql.layer()), Layer.provide(Database.layerFromEnv))
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { type Array, Data, type Effect } from "effect"
import type { ErrorOf, JobContext } from "./JobContext.js"
import type { JobSourceError, LeaseLost } from "./JobSource.js"

/**
 * A job of a batch.
 *
 * @since 0.1.0
 * @category models
 */
export interface BatchJob<out Job> extends Pick<JobContext<never>, "id" | "attempt" | "idempotencyKey"> {
  /** The job as it was offered. */
  readonly payload: Job
}

/**
 * The second argument of a pool's `processAll`.
 *
 * @since 0.1.0
 * @category models
 */
export interface BatchContext<Job> extends Pick<JobContext<never>, "draining"> {
  /**
   * As `JobContext.signal`, for the batch: it is aborted with `draining` over a durable source, when `processAll` has failed, and when the
   * batch is interrupted, because the drain timeout has passed or because none of its jobs is left: all are cancelled or have lost their
   * leases.
   */
  readonly signal: AbortSignal
  /**
   * Runs the writes and acknowledges these jobs, in one short transaction where the source has transactions, with one statement for all
   * jobs. `writes` gets those that this process still holds: jobs that were cancelled, or whose lease was lost, are left out, and
   * cannot fail the others. After any failure nothing was written, and none of the jobs is acknowledged.
   *
   * A batch may be completed in parts. What it has not completed when `processAll` succeeds is acknowledged then, except jobs whose
   * last `complete` failed or was rolled back: they have failed. In a transaction of the process it takes effect when that commits.
   *
   * The jobs' rows are locked until the commit, so that no other process can have them: keep the writes short. A transaction of a
   * frozen process ends after a lease.
   *
   * Fails with the errors of the writes; with `LeaseLost`, and without the writes, when no job is held; with `JobSourceError` when the
   * source is unavailable.
   */
  readonly complete: <A, E, R>(
    jobs: Array.NonEmptyReadonlyArray<BatchJob<Job>>,
    writes: (held: Array.NonEmptyReadonlyArray<BatchJob<Job>>) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | LeaseLost | JobSourceError, R>
}

/**
 * One job of a batch that has failed.
 *
 * @since 0.1.0
 * @category models
 */
export interface JobFailure<out E> {
  /** The id of the job. */
  readonly id: string
  /** Why: what `process` would have failed with. `permanent` is asked about it. */
  readonly error: E
}

/**
 * The failure of a `processAll` in which single jobs failed: only they are retried, or moved to the dead letters. The others are
 * acknowledged. Those whose `complete` this failure has undone run once more, without the ones that failed. Ids of other jobs are
 * ignored.
 *
 * @since 0.1.0
 * @category errors
 */
export class BatchError<E> extends Data.TaggedError("BatchError")<{
  readonly failures: ReadonlyArray<JobFailure<E>>
}> {
  override get message() {
    return `${this.failures.length} jobs of the batch failed: ${this.failures.map(({ id }) => id).join(", ")}`
  }
}

/**
 * The error of a single job, for `permanent`: the one that a `BatchError` names, or the failure of the whole batch.
 *
 * @since 0.1.0
 * @category models
 */
export type JobErrorOf<E> = E extends BatchError<infer F> ? F : E

/**
 * As `ErrorOf`, for `processAll`.
 *
 * @since 0.1.0
 * @category models
 */
export type BatchErrorOf<Failure> = ErrorOf<Failure> | BatchError<ErrorOf<Failure>>
