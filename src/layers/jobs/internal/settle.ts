import { Cause, Effect, Exit, Option } from "effect"
import { JobEvent } from "../JobEvent.js"
import type { Claim, JobSourceError, LeaseLost } from "../JobSource.js"
import { heeded } from "./heeded.js"
import { delayAfter, persist } from "./patience.js"
import { type Job, ofJob, type PoolState, record } from "./poolState.js"

const messageOf = (cause: Cause.Cause<unknown>): string => String(Cause.prettyErrors(cause)[0] ?? "interrupted")

/** Writes one job's fate; when the source stays away it is left to its lease, and when that is gone to its new owner. */
const write = (
  pool: PoolState,
  job: Job,
  fate: JobEvent,
  operation: Effect.Effect<unknown, LeaseLost | JobSourceError>
): Effect.Effect<void> =>
  persist(pool.hurry.await)(operation).pipe(
    Effect.zipRight(record(pool, fate)),
    Effect.catchTags({
      LeaseLost: () => lost(pool, job.claim),
      JobSourceError: (error) =>
        cut(pool, [job.claim], `job ${job.claim.id} ${fate._tag}, but the source could not be told`, error)
    })
  )

const lost = (pool: PoolState, claim: Claim): Effect.Effect<void> =>
  Effect.zipRight(
    Effect.logWarning(`job ${claim.id} belongs to somebody else by now; nothing was written`),
    record(pool, JobEvent.LeaseLost(ofJob(pool, claim)))
  )

const cut = (
  pool: PoolState,
  claims: ReadonlyArray<Claim>,
  what: string,
  error: JobSourceError
): Effect.Effect<void> =>
  Effect.zipRight(
    Effect.logError(`${what}; leases will run out`, error),
    Effect.forEach(claims, (claim) => record(pool, JobEvent.Cut({ ...ofJob(pool, claim), error: error.message })), {
      discard: true
    })
  )

/** Gives jobs up for good. */
export const deadLetter = (pool: PoolState, job: Job, error: string): Effect.Effect<void> =>
  Effect.zipRight(
    Effect.logError(`job ${job.claim.id} goes to the dead letters after attempt ${job.claim.attempt}: ${error}`),
    write(
      pool,
      job,
      JobEvent.DeadLettered({ ...ofJob(pool, job.claim), error }),
      pool.queue.deadLetter(job.claim, error)
    )
  )

/** Hands jobs back in one statement, uninterruptibly. */
export const handBack = (pool: PoolState, claims: ReadonlyArray<Claim>): Effect.Effect<void> =>
  claims.length === 0 ? Effect.void : persist(pool.hurry.await)(pool.queue.handBack(claims)).pipe(
    Effect.matchEffect({
      onSuccess: (gone) =>
        Effect.forEach(
          claims,
          (claim) => gone.includes(claim) ? lost(pool, claim) : record(pool, JobEvent.HandedBack(ofJob(pool, claim))),
          {
            discard: true
          }
        ),
      onFailure: (error) => cut(pool, claims, `${claims.length} jobs could not be handed back`, error)
    }),
    Effect.uninterruptible
  )

/**
 * Leaves behind the jobs that ignored their interruption. Their leases are given up, so that others can take them at once
 * and whatever they still write is refused.
 */
export const abandon = (pool: PoolState): Effect.Effect<void> =>
  Effect.suspend(() => {
    const left = pool.inFlight.units().map(({ data }) => data).filter(({ fate }) => fate === "Undecided")
    for (const job of left) job.fate = "Abandoned"
    const claims = left.map(({ claim }) => claim)
    const given = pool.durable && claims.length > 0
      ? Effect.ignoreLogged(Effect.uninterruptible(persist(pool.hurry.await)(pool.queue.handBack(claims))))
      : Effect.void
    return Effect.zipRight(
      Effect.forEach(claims, (claim) => record(pool, JobEvent.Abandoned(ofJob(pool, claim))), { discard: true }),
      given
    )
  })

const failed = (pool: PoolState, job: Job, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const error = messageOf(cause)
    if (Option.exists(Cause.failureOption(cause), pool.isPermanent)) return deadLetter(pool, job, error)
    return Effect.flatMap(
      delayAfter(pool.retry, job.claim.attempt),
      Option.match({
        onNone: () => deadLetter(pool, job, error),
        onSome: (delay) =>
          Effect.zipRight(
            Effect.logWarning(`job ${job.claim.id} failed in attempt ${job.claim.attempt}, which is retried`, cause),
            write(
              pool,
              job,
              JobEvent.Retried({ ...ofJob(pool, job.claim), error, delay }),
              pool.queue.retry(job.claim, { delay, error })
            )
          )
      })
    )
  })

/** What becomes of a job whose process has exited. Runs uninterruptibly. */
export const settle = (pool: PoolState, job: Job, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { claim } = job
    switch (job.fate) {
      case "Completed":
        return Effect.zipRight(
          Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)
            ? Effect.logWarning(`job ${claim.id} failed after it was completed`, exit.cause)
            : Effect.void,
          record(pool, JobEvent.Succeeded(ofJob(pool, claim)))
        )
      case "HandedBack":
        return record(pool, JobEvent.HandedBack(ofJob(pool, claim)))
      case "Lost":
        return lost(pool, claim)
      case "Abandoned":
        return Effect.logWarning(`job ${claim.id} has ended after it was abandoned; nothing was written`)
      case "Undecided": {
        if (Exit.isSuccess(exit)) {
          const succeeded = JobEvent.Succeeded(ofJob(pool, claim))
          return write(pool, job, succeeded, pool.queue.transact(claim, Effect.void, { _tag: "Ack" }))
        }
        if (!heeded(pool, job, exit.cause)) return failed(pool, job, exit.cause)
        if (!pool.interrupting) return handBack(pool, [claim])
        return Effect.zipRight(
          record(pool, JobEvent.Interrupted(ofJob(pool, claim))),
          Effect.suspend(() => {
            if (pool.returning === undefined) return handBack(pool, [claim])
            pool.returning.push(claim)
            return Effect.void
          })
        )
      }
    }
  })
