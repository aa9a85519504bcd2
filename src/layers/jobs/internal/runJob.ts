import { Cause, Effect, Either, Exit, Option, ParseResult, Predicate, Schema } from "effect"
import { afterCommit, isInTransaction } from "../../../core/internal/afterCommit.js"
import { inUnitOfWork } from "../../../core/internal/unitOfWork.js"
import { Draining, type JobContext } from "../JobContext.js"
import { JobEvent } from "../JobEvent.js"
import { JobSourceError, type LeaseLost, type Settlement } from "../JobSource.js"
import { type JobRun, mayStop, type Pool } from "./poolState.js"
import { delayAfter } from "./retryPolicy.js"
import { deadLetter, settle } from "./settle.js"

/** How payloads and cursors are stored: unchanged without a schema. */
export interface Codec<A> {
  readonly encode: (value: A) => Effect.Effect<unknown, Error>
  readonly decode: (value: unknown) => Either.Either<A, string>
}

export const makeCodec = <A>(schema: (Schema.Schema.AnyNoContext & { readonly Type: A }) | undefined): Codec<A> => {
  if (schema === undefined) {
    return { encode: Effect.succeed, decode: (value) => Either.right(value as A) }
  }
  const typed = schema as Schema.Schema<A, unknown>
  return {
    encode: Schema.encode(typed),
    decode: (value) =>
      Either.mapLeft(Schema.decodeUnknownEither(typed)(value), ParseResult.TreeFormatter.formatErrorSync)
  }
}

/** How a pool decodes and processes its jobs. The services of `process` are provided. */
export interface JobProcess<in out Job, in out Cursor> {
  readonly payload: Codec<Job>
  readonly cursor: Codec<Cursor>
  readonly process: (job: Job, context: JobContext<Cursor>) => Effect.Effect<unknown, unknown>
}

/** The failure of a job whose `complete` has succeeded in a transaction that was rolled back. */
const rolledBack = Cause.fail(new Error("`complete` was undone: the transaction around it was rolled back"))

/** Aborts the job's signal, so that promises of its process stop. */
const abort = (pool: Pool, run: JobRun) => run.abortController?.abort(new Draining({ pool: pool.name }))

/** Aborts the signals of all jobs that may stop. Runs when the pool quiesces. */
export const abortSignals = (pool: Pool): Effect.Effect<void> =>
  Effect.sync(() => {
    if (mayStop(pool)) { for (const { data } of pool.inFlight.units()) abort(pool, data) }
  })

const signalOf = (pool: Pool, run: JobRun): AbortSignal => {
  if (run.abortController === undefined) {
    run.abortController = new AbortController()
    if (mayStop(pool)) abort(pool, run)
  }
  return run.abortController.signal
}

const isLeaseLost = Predicate.isTagged("LeaseLost") as (error: unknown) => error is LeaseLost

const makeContext = <Cursor>(
  pool: Pool,
  run: JobRun,
  codec: Codec<Cursor>,
  cursor: Option.Option<Cursor>
): JobContext<Cursor> => {
  const { attempt, id } = run.claim
  /** Commits the writes. A lost lease settles the run, whatever its process does with the error. */
  const transact = <A, E, R>(writes: Effect.Effect<A, E, R>, settlement: Settlement) =>
    Effect.tapError(pool.queue.transact(run.claim, writes, settlement), (error) =>
      Effect.sync(() => {
        if (run.outcome === "Undecided" && isLeaseLost(error) && error.id === id) run.outcome = "LeaseLost"
      }))

  return {
    id,
    attempt,
    cursor,
    idempotencyKey: (step) => [pool.name, id, ...(step === undefined ? [] : [step])].join("/"),
    draining: pool.lifecycle.await("Quiesced"),
    get signal() {
      return signalOf(pool, run)
    },
    // The writes may be interrupted, but not between the commit and the change of the outcome.
    complete: (writes) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          run.failedCompletion = rolledBack
          const value = yield* Effect.tapErrorCause(transact(restore(writes), { _tag: "Ack" }), (cause) =>
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
          const encoded = yield* Effect.mapError(
            codec.encode(cursor),
            (cause) => new JobSourceError({ operation: "checkpoint", queue: pool.name, cause })
          )
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
      )
  }
}

/** The error of a job that cannot run as it is stored, with what to do about it. */
const decodeError = (pool: Pool, run: JobRun, what: "payload" | "cursor", stored: unknown, error: string) =>
  `${pool.name}: job ${run.claim.id} was not run, because its stored ${what} does not decode. Stored is ` +
  `${JSON.stringify(stored)?.slice(0, 500)}. ${error}\n` +
  `It is kept among the dead letters: deploy a schema that decodes it as well, then redrive it` +
  (what === "cursor" ? ", or redrive it from the start." : ", or discard it.")

/**
 * Runs one claimed job on its own fiber, and settles it. Only the user's process is interruptible, so that every job is
 * settled, or left to its lease with an event that says so.
 */
export const runJob = <Job, Cursor>(pool: Pool, job: JobProcess<Job, Cursor>, run: JobRun): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { attempt, cursor, id, payload } = run.claim
    yield* pool.events.record(JobEvent.Started(pool.events.runFields(run.claim)))
    // Processes that died have spent attempts as well, so a job that kills its process ends here.
    if (Option.isNone(yield* delayAfter(pool.retry, attempt - 1))) {
      return yield* deadLetter(pool, run, `attempt ${attempt} is one more than its schedule allows`)
    }
    const decodedPayload = job.payload.decode(payload)
    if (Either.isLeft(decodedPayload)) {
      return yield* deadLetter(pool, run, decodeError(pool, run, "payload", payload, decodedPayload.left))
    }
    const decodedCursor = Option.map(cursor, job.cursor.decode)
    if (Option.isSome(decodedCursor) && Either.isLeft(decodedCursor.value)) {
      const stored = Option.getOrNull(cursor)
      return yield* deadLetter(pool, run, decodeError(pool, run, "cursor", stored, decodedCursor.value.left))
    }
    const context = makeContext(pool, run, job.cursor, Option.flatMap(decodedCursor, Either.getRight))
    const exit = yield* Effect.suspend(() => job.process(decodedPayload.right, context)).pipe(
      Effect.withSpan(`${pool.name}.process`, {
        root: true,
        captureStackTrace: false,
        attributes: { id, attempt }
      }),
      Effect.interruptible,
      inUnitOfWork(run.unit),
      Effect.exit
    )
    if (Exit.isFailure(exit)) abort(pool, run)
    yield* settle(pool, run, exit)
  }).pipe(
    // A defect of the engine, of a codec or of a schedule: those of the process are in its exit.
    Effect.catchAllCause((cause) =>
      Effect.zipRight(
        Effect.logError("the job could not be settled; its lease will expire", cause),
        pool.events.record(JobEvent.Cut({ ...pool.events.runFields(run.claim), error: Cause.pretty(cause) }))
      )
    ),
    pool.events.measure,
    Effect.annotateLogs({ pool: pool.name, job: run.claim.id })
  )
