import { Effect, Option } from "effect"
import { afterCommit, isInTransaction } from "../../../core/internal/afterCommit.js"
import { durationOption } from "../../../core/internal/options.js"
import type { JobContext } from "../JobContext.js"
import { JobEvent } from "../JobEvent.js"
import { JobSourceError, type Settlement } from "../JobSource.js"
import type { Codec } from "./codec.js"
import { abort, idempotencyKey, isLeaseLost, rolledBack } from "./jobProcess.js"
import { type JobRun, mayStop, type Pool } from "./poolState.js"

const signalOf = (pool: Pool, run: JobRun): AbortSignal => {
  if (run.abortController === undefined) {
    run.abortController = new AbortController()
    if (mayStop(pool) || run.outcome === "Cancelled") abort(pool, run)
  }
  return run.abortController.signal
}

/** Makes what the process has given the result of the job, once it is encoded. */
export const setResult = <E>(run: JobRun, encoded: Effect.Effect<unknown, E>): Effect.Effect<void, E> =>
  Effect.map(encoded, (result) => {
    run.result = Option.some(result)
  })

const readSignal = Symbol("lastcall/JobContext/signal")

/** One getter for all contexts: every literal with a getter gets a hidden class of its own, which takes V8 a microsecond. */
const signal: PropertyDescriptor & ThisType<{ readonly [readSignal]: () => AbortSignal }> = {
  enumerable: true,
  get() {
    return this[readSignal]()
  }
}

/** Commits the writes. A lost lease settles the run, whatever its process does with the error. */
const transact = <A, E, R>(pool: Pool, run: JobRun, writes: Effect.Effect<A, E, R>, settlement: Settlement) =>
  Effect.tapError(pool.queue.transact(run.claim, writes, settlement), (error) =>
    Effect.sync(() => {
      if (run.outcome === "Undecided" && isLeaseLost(error) && error.id === run.claim.id) run.outcome = "LeaseLost"
    }))

const encode = <A>(pool: Pool, operation: string, codec: Codec<A>, value: A) =>
  Effect.mapError(codec.encode(value), (cause) => new JobSourceError({ operation, queue: pool.name, cause }))

/** What a process can use of its job. */
export const makeContext = <Cursor>(
  pool: Pool,
  run: JobRun,
  { cursor: codec, success }: { readonly cursor: Codec<Cursor>; readonly success?: Codec<unknown> | undefined },
  cursor: Option.Option<Cursor>
): JobContext<Cursor> => {
  const { attempt, id } = run.claim
  const context: Omit<JobContext<Cursor>, "signal"> & { readonly [readSignal]: () => AbortSignal } = {
    [readSignal]: () => signalOf(pool, run),
    id,
    attempt,
    cursor,
    idempotencyKey: idempotencyKey(pool, id),
    draining: pool.lifecycle.await("Quiesced"),
    // The writes may be interrupted, but not between the commit and the change of the outcome.
    complete: (writes) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          run.failedCompletion = rolledBack
          const settled = success === undefined
            ? transact(pool, run, restore(writes), { _tag: "Ack" })
            : transact(
              pool,
              run,
              Effect.tap(restore(writes), (value) => setResult(run, encode(pool, "complete", success, value))),
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
          const encoded = yield* encode(pool, "checkpoint", codec, cursor)
          // A transaction of the caller may go on: the job is handed back after its commit.
          const handBack = mayStop(pool) && !(yield* isInTransaction)
          const value = yield* transact(pool, run, restore(writes), { _tag: "Checkpoint", cursor: encoded, handBack })
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
          : Option.some(yield* encode(pool, "snooze", codec, options.cursor))
        yield* transact(pool, run, Effect.void, { _tag: "Snooze", delay: snoozedFor, cursor })
        yield* afterCommit(Effect.suspend(() => {
          run.outcome = "Snoozed"
          run.snoozedFor = snoozedFor
          return Effect.interrupt
        }))
      }))
  }
  return Object.defineProperty(context, "signal", signal) as typeof context & Pick<JobContext<Cursor>, "signal">
}
