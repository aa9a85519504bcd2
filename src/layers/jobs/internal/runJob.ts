import { Cause, Effect, Either, Exit, Option } from "effect"
import type { JobContext } from "../JobContext.js"
import { JobEvent } from "../JobEvent.js"
import type { Codec } from "./codec.js"
import { abort, makeContext } from "./context.js"
import { delayAfter } from "./patience.js"
import { type Job, measured, ofJob, type PoolState, record } from "./poolState.js"
import { deadLetter, settle } from "./settle.js"

/** What a pool does with a job, its services provided. */
export interface Work<in out Job, in out Cursor> {
  readonly payload: Codec<Job>
  readonly cursor: Codec<Cursor>
  readonly process: (job: Job, context: JobContext<Cursor>) => Effect.Effect<unknown, unknown>
}

/** Why a job cannot run as it is stored, and what to do about it. */
const unreadable = (pool: PoolState, job: Job, what: string, stored: unknown, why: string) =>
  `${pool.name}: job ${job.claim.id} was not run, because its stored ${what} does not decode. Stored is ` +
  `${JSON.stringify(stored)?.slice(0, 500)}. ${why}\n` +
  `It is kept among the dead letters: deploy a schema that decodes it as well, then retry it` +
  (what === "cursor" ? ", or retry it from the start." : ", or discard it.")

/**
 * The life of one claimed job on its own fiber. It runs uninterruptibly, except for the user's process: whatever
 * happens, the job's fate is written down, or collected to be handed back.
 */
export const runJob = <Payload, Cursor>(pool: PoolState, work: Work<Payload, Cursor>, job: Job): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { attempt, cursor, id, payload } = job.claim
    yield* record(pool, JobEvent.Started(ofJob(pool, job.claim)))
    // The attempts that were spent include those of processes that died: a job that kills its process must end too.
    if (Option.isNone(yield* delayAfter(pool.retry, attempt - 1))) {
      return yield* deadLetter(pool, job, `attempt ${attempt} is one more than its schedule allows`)
    }
    const decodedPayload = work.payload.decode(payload)
    if (Either.isLeft(decodedPayload)) {
      return yield* deadLetter(pool, job, unreadable(pool, job, "payload", payload, decodedPayload.left))
    }
    const decodedCursor = Option.map(cursor, work.cursor.decode)
    if (Option.isSome(decodedCursor) && Either.isLeft(decodedCursor.value)) {
      const stored = Option.getOrNull(cursor)
      return yield* deadLetter(pool, job, unreadable(pool, job, "cursor", stored, decodedCursor.value.left))
    }
    const context = makeContext(pool, job, work.cursor, Option.flatMap(decodedCursor, Either.getRight))
    const exit = yield* Effect.suspend(() => work.process(decodedPayload.right, context)).pipe(
      Effect.withSpan(`${pool.name}.process`, {
        root: true,
        captureStackTrace: false,
        attributes: { id, attempt }
      }),
      Effect.interruptible,
      Effect.exit
    )
    if (Exit.isFailure(exit)) abort(pool, job)
    yield* settle(pool, job, exit)
  }).pipe(
    // What dies here is no user's process but an engine, a codec or a schedule.
    Effect.catchAllCause((cause) =>
      Effect.zipRight(
        Effect.logError("the job could not be settled; its lease will run out", cause),
        record(pool, JobEvent.Cut({ ...ofJob(pool, job.claim), error: Cause.pretty(cause) }))
      )
    ),
    measured(pool, job),
    Effect.annotateLogs({ pool: pool.name, job: job.claim.id })
  )
