import { type Context, Effect, Either, Exit, Option } from "effect"
import { afterCommit, isInTransaction } from "../../../core/internal/afterCommit.js"
import type { RefValue } from "../../../core/internal/fiberState.js"
import { durationOption } from "../../../core/internal/options.js"
import type { JobContext } from "../JobContext.js"
import { JobEvent } from "../JobEvent.js"
import { JobSourceError, type Settlement } from "../JobSource.js"
import type { Codec } from "./codec.js"
import {
  abort,
  cutOnDefect,
  decodeError,
  idempotencyKey,
  isLeaseLost,
  ofPool,
  rolledBack,
  runProcess,
  withPayload
} from "./jobProcess.js"
import { interruptRun, isUseless, type JobRun, mayStop, type Pool } from "./poolState.js"
import { deadLetter, settle } from "./settle.js"

/** How a pool decodes and processes its jobs. */
export interface JobProcess<in out Job, in out Cursor> {
  /** The services of `process`, which the fibers of the pool have. */
  readonly services: Context.Context<never>
  /** Makes the pool the owner of the daemons that a job forks. */
  readonly owner: RefValue
  readonly payload: Codec<Job>
  readonly cursor: Codec<Cursor>
  /** Undefined in a pool without results. */
  readonly success?: Codec<unknown> | undefined
  readonly process: (job: Job, context: JobContext<Cursor>) => Effect.Effect<unknown, unknown>
}

/** Aborts the signals of all jobs that may stop. Runs when the pool quiesces. */
export const abortSignals = (pool: Pool): Effect.Effect<void> =>
  Effect.sync(() => {
    if (mayStop(pool)) { for (const { data } of pool.inFlight.units()) abort(pool, data) }
  })

/** The job of this claim was cancelled: if it runs here, it is interrupted. It may have noticed already, by a refused write. */
export const cancelRun = (pool: Pool, token: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    const unit = pool.inFlight.units().find(({ data }) => data.claim.token === token)
    pool.claimedAhead.drop(token)
    if (unit === undefined || !["Undecided", "LeaseLost"].includes(unit.data.outcome)) return Effect.void
    unit.data.outcome = "Cancelled"
    if (isUseless(unit.data)) abort(pool, unit.data)
    return interruptRun(unit)
  })

const signalOf = (pool: Pool, run: JobRun): AbortSignal => {
  if (run.abortController === undefined) {
    run.abortController = new AbortController()
    if (mayStop(pool) || run.outcome === "Cancelled") abort(pool, run)
  }
  return run.abortController.signal
}

const setResult = <E>(run: JobRun, encoded: Effect.Effect<unknown, E>): Effect.Effect<void, E> =>
  Effect.map(encoded, (result) => {
    run.result = Option.some(result)
  })

/** The value of the process is the result of the job, unless `complete` has given one. */
const withResult = <Job, Cursor>(
  { success }: JobProcess<Job, Cursor>,
  run: JobRun,
  process: Effect.Effect<unknown, unknown>
): Effect.Effect<unknown, unknown> =>
  success === undefined ?
    process :
    Effect.tap(process, (value) => run.outcome === "Completed" ? Effect.void : setResult(run, success.encode(value)))

const makeContext = <Cursor>(
  pool: Pool,
  run: JobRun,
  { cursor: codec, success }: { readonly cursor: Codec<Cursor>; readonly success?: Codec<unknown> | undefined },
  cursor: Option.Option<Cursor>
): JobContext<Cursor> => {
  const { attempt, id } = run.claim
  /** Commits the writes. A lost lease settles the run, whatever its process does with the error. */
  const transact = <A, E, R>(writes: Effect.Effect<A, E, R>, settlement: Settlement) =>
    Effect.tapError(pool.queue.transact(run.claim, writes, settlement), (error) =>
      Effect.sync(() => {
        if (run.outcome === "Undecided" && isLeaseLost(error) && error.id === id) run.outcome = "LeaseLost"
      }))
  const encode = <A>(operation: string, { encode }: Codec<A>, value: A) =>
    Effect.mapError(encode(value), (cause) => new JobSourceError({ operation, queue: pool.name, cause }))

  return {
    id,
    attempt,
    cursor,
    idempotencyKey: idempotencyKey(pool, id),
    draining: pool.lifecycle.await("Quiesced"),
    get signal() {
      return signalOf(pool, run)
    },
    // The writes may be interrupted, but not between the commit and the change of the outcome.
    complete: (writes) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          run.failedCompletion = rolledBack
          const settled = success === undefined
            ? transact(restore(writes), { _tag: "Ack" })
            : transact(
              Effect.tap(restore(writes), (value) => setResult(run, encode("complete", success, value))),
              { _tag: "Ack", value: () => Option.getOrUndefined(run.result) }
            )
          const value = yield* Effect.tapErrorCause(settled, (cause) =>
            Effect.sync(() => {
              run.failedCompletion = cause
            }))
          yield* afterCommit(Effect.sync(() => {
            run.outcome = "Completed"
          }))
          return value
        })
      ),
    checkpoint: (cursor, writes) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          const encoded = yield* encode("checkpoint", codec, cursor)
          // A transaction of the caller may go on: the job is handed back after its commit.
          const handBack = mayStop(pool) && !(yield* isInTransaction)
          const value = yield* transact(restore(writes), { _tag: "Checkpoint", cursor: encoded, handBack })
          yield* afterCommit(Effect.gen(function*() {
            run.cursor = Option.some(encoded)
            if (handBack) run.outcome = "HandedBack"
            yield* pool.events.record(JobEvent.Checkpointed({ ...pool.events.runFields(run.claim), cursor: encoded }))
            if (mayStop(pool)) return yield* Effect.interrupt
          }))
          return value
        })
      ),
    snooze: (delay, options) =>
      Effect.uninterruptible(Effect.gen(function*() {
        const snoozedFor = durationOption(pool.name, "snooze", delay)
        const cursor = options === undefined
          ? Option.none()
          : Option.some(yield* encode("snooze", codec, options.cursor))
        yield* transact(Effect.void, { _tag: "Snooze", delay: snoozedFor, cursor })
        yield* afterCommit(Effect.suspend(() => {
          run.outcome = "Snoozed"
          run.snoozedFor = snoozedFor
          return Effect.interrupt
        }))
      }))
  }
}

/** Runs a job that has an attempt left, unless what is stored of it does not decode. */
const decodeAndProcess = <Job, Cursor>(pool: Pool, job: JobProcess<Job, Cursor>, run: JobRun): Effect.Effect<void> =>
  withPayload(pool, job.payload, run, (payload) => {
    const { attempt, cursor, id } = run.claim
    const decodedCursor = Option.map(cursor, job.cursor.decode)
    if (Option.isSome(decodedCursor) && Either.isLeft(decodedCursor.value)) {
      const stored = Option.getOrNull(cursor)
      return deadLetter(pool, run, decodeError(pool, run, "cursor", stored, decodedCursor.value.left))
    }
    const context = makeContext(pool, run, job, Option.flatMap(decodedCursor, Either.getRight))
    return Effect.flatMap(
      runProcess(
        job.owner,
        { unit: run.unit, name: `${pool.name}.process`, attributes: { id, attempt } },
        withResult(job, run, Effect.suspend(() => job.process(payload, context)))
      ),
      (exit) => {
        if (Exit.isFailure(exit)) abort(pool, run)
        return settle(pool, run, exit)
      }
    )
  })

/**
 * Runs one claimed job on its own fiber, and settles it. Only the user's process is interruptible, so that every job is
 * settled, or left to its lease with an event that says so.
 */
export const runJob = <Job, Cursor>(pool: Pool, job: JobProcess<Job, Cursor>, run: JobRun): Effect.Effect<void> =>
  cutOnDefect(pool, run)(Effect.withFiberRuntime<void>((fiber) => {
    const { recordBefore, runFields } = pool.events
    ofPool(fiber, pool, run.claim.id)
    return recordBefore(fiber, JobEvent.Started(runFields(run.claim)), () => decodeAndProcess(pool, job, run))
  }))
