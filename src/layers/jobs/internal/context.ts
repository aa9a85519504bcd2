import { Effect, Option, Predicate } from "effect"
import { Draining, type JobContext } from "../JobContext.js"
import { JobEvent } from "../JobEvent.js"
import type { LeaseLost, Settlement } from "../JobSource.js"
import type { Codec } from "./codec.js"
import { type Job, ofJob, type PoolState, record } from "./poolState.js"

const isLeaseLost = Predicate.isTagged("LeaseLost") as (error: unknown) => error is LeaseLost

/** Over a durable source a job that stops now is handed back; in memory there is nobody to hand it to. */
const mayStop = (pool: PoolState) => pool.durable && pool.quiesced

/** Tells the jobs that run that the pool takes nothing new. */
export const tell = (pool: PoolState): Effect.Effect<void> =>
  Effect.zipRight(
    pool.draining.open,
    Effect.sync(() => {
      if (mayStop(pool)) { for (const { data } of pool.inFlight.units()) abort(pool, data) }
    })
  )

/** What its process still has going on need not go on. */
export const abort = (pool: PoolState, job: Job) => job.told?.abort(new Draining({ pool: pool.name }))

const signalOf = (pool: PoolState, job: Job): AbortSignal => {
  if (job.told === undefined) {
    job.told = new AbortController()
    if (mayStop(pool)) abort(pool, job)
  }
  return job.told.signal
}

export const makeContext = <Cursor>(
  pool: PoolState,
  job: Job,
  codec: Codec<Cursor>,
  cursor: Option.Option<Cursor>
): JobContext<Cursor> => {
  const { attempt, id } = job.claim
  /** Whoever learns that the lease is gone keeps it in mind: nothing is written any more. */
  const noteLoss = (error: unknown) =>
    Effect.sync(() => {
      if (job.fate === "Undecided" && isLeaseLost(error) && error.id === id) job.fate = "Lost"
    })
  const transact = <A, E, R>(writes: Effect.Effect<A, E, R>, settlement: Settlement) =>
    Effect.tapError(pool.queue.transact(job.claim, writes, settlement), noteLoss)

  return {
    id,
    attempt,
    cursor,
    idempotencyKey: (step) => [pool.name, id, ...(step === undefined ? [] : [step])].join("/"),
    draining: pool.draining.await,
    get signal() {
      return signalOf(pool, job)
    },
    // The writes may be interrupted; the commit and taking note of it are one step.
    complete: (writes) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.tap(transact(restore(writes), { _tag: "Ack" }), () =>
          Effect.sync(() => {
            job.fate = "Completed"
          }))
      ),
    checkpoint: (cursor, writes) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          const encoded = yield* codec.encode(cursor)
          const handBack = mayStop(pool)
          const value = yield* transact(restore(writes), { _tag: "Checkpoint", cursor: encoded, handBack })
          job.cursor = Option.some(encoded)
          if (handBack) job.fate = "HandedBack"
          yield* record(pool, JobEvent.Checkpointed({ ...ofJob(pool, job.claim), cursor: encoded }))
          return handBack ? yield* Effect.interrupt : value
        })
      )
  }
}
