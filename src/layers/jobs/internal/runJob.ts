import { type Context, Effect, Either, Exit, Option } from "effect"
import type { RefValue } from "../../../core/internal/fiberState.js"
import type { JobContext } from "../JobContext.js"
import { JobEvent } from "../JobEvent.js"
import type { Codec } from "./codec.js"
import { abort, cutOnDefect, decodeError, ofPool, runProcess, withPayload } from "./jobProcess.js"
import { makeContext, setResult } from "./makeContext.js"
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

/** The value of the process is the result of the job, unless `complete` has given one. */
const withResult = <Job, Cursor>(
  { success }: JobProcess<Job, Cursor>,
  run: JobRun,
  process: Effect.Effect<unknown, unknown>
): Effect.Effect<unknown, unknown> =>
  success === undefined ?
    process :
    Effect.tap(process, (value) => run.outcome === "Completed" ? Effect.void : setResult(run, success.encode(value)))

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
    return runProcess(
      job.owner,
      { unit: run.unit, name: `${pool.name}.process`, attributes: { id, attempt } },
      withResult(job, run, Effect.suspend(() => job.process(payload, context))),
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
