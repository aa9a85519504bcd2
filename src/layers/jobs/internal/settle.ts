import { Cause, Effect, Exit, Option, Predicate } from "effect"
import { delayAfter } from "../../../core/internal/delayAfter.js"
import { namedCauseMessage } from "../../../core/internal/errorMessage.js"
import { JobEvent } from "../JobEvent.js"
import type { Claim, JobSourceError, LeaseLost, Settlement } from "../JobSource.js"
import { originalError } from "./failures.js"
import { handBack, handBackInterrupted } from "./handBack.js"
import { type JobRun, mayStop, type Pool } from "./poolState.js"
import { retrySettlement } from "./retryPolicy.js"

/**
 * Decides from its exit what happens to a job: it is acknowledged, handed back, retried, or moved to the dead letters.
 * Runs uninterruptibly.
 */
export const settle = (pool: Pool, run: JobRun, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { claim } = run
    const { record, recordLeaseLost, runFields } = pool.events
    switch (run.outcome) {
      case "Completed":
        return Effect.zipRight(
          Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)
            ? Effect.logWarning(`job ${claim.id} failed after it was completed`, exit.cause)
            : Effect.void,
          record(JobEvent.Succeeded(runFields(claim)))
        )
      case "Snoozed":
        return record(JobEvent.Snoozed({ ...runFields(claim), delay: run.snoozedFor! }))
      case "Cancelled":
        return record(JobEvent.RunCancelled(runFields(claim)))
      case "HandedBack":
        return record(JobEvent.HandedBack(runFields(claim)))
      case "LeaseLost":
        return recordLeaseLost(claim)
      case "Abandoned":
        return Effect.logWarning(`job ${claim.id} has ended after it was abandoned; nothing was written`)
      case "Undecided": {
        const cause = Exit.isFailure(exit) ? exit.cause : run.failedCompletion
        if (cause === undefined) return acknowledge(pool, run)
        if (!isCooperativeStop(pool, run, cause)) return retryOrDeadLetter(pool, run, cause)
        return pool.lifecycle.hasReached("Interrupting")
          ? handBackInterrupted(pool, claim)
          : handBack(pool, [claim])
      }
    }
  })

/** Acknowledges a run with its result, if it has one. */
const ackOf = ({ result }: JobRun): Settlement =>
  Option.match(result, {
    onNone: () => ({ _tag: "Ack" }),
    onSome: (value) => ({ _tag: "Ack", value: () => value })
  })

/** Moves a job to the dead letters, with what its process has failed with. */
export const deadLetter = (
  pool: Pool,
  run: JobRun,
  error: string,
  failure: Option.Option<unknown> = Option.none()
): Effect.Effect<void> => {
  const { claim } = run
  return Effect.zipRight(
    Effect.logError(`job ${claim.id} is moved to the dead letters after attempt ${claim.attempt}: ${error}`),
    write(
      pool,
      run,
      JobEvent.DeadLettered({ ...pool.events.runFields(claim), error }),
      pool.queue.deadLetter(claim, error, failure)
    )
  )
}

const acknowledge = (pool: Pool, run: JobRun): Effect.Effect<void> =>
  write(
    pool,
    run,
    JobEvent.Succeeded(pool.events.runFields(run.claim)),
    pool.queue.transact(run.claim, Effect.void, ackOf(run))
  )

/** Records that these jobs have succeeded. */
export const recordSucceeded = ({ events }: Pool, claims: ReadonlyArray<Claim>): Effect.Effect<void> =>
  events.recordAll(claims.map((claim) => JobEvent.Succeeded(events.runFields(claim))))

/** Acknowledges jobs whose processes have succeeded, in one statement, and records each of them. */
export const acknowledgeAll = (pool: Pool, claims: ReadonlyArray<Claim>): Effect.Effect<void> => {
  const { recordCut, recordLeaseLost } = pool.events
  return claims.length === 0 ? Effect.void : Effect.matchEffect(retrySettlement(pool)(pool.queue.acknowledge(claims)), {
    onSuccess: (lost) =>
      Effect.zipRight(
        recordSucceeded(pool, claims.filter((claim) => !lost.includes(claim))),
        Effect.forEach(lost, recordLeaseLost, { discard: true })
      ),
    onFailure: (error) => recordCut(claims, `${claims.length} jobs: the source could not record Succeeded`, error)
  })
}

const retryOrDeadLetter = (pool: Pool, run: JobRun, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { claim } = run
    const error = namedCauseMessage(cause)
    const giveUp = Effect.flatMap(pool.encodeFailure(cause), (failure) => deadLetter(pool, run, error, failure))
    if (Option.exists(Cause.failureOption(cause), pool.isPermanent)) return giveUp
    return Effect.flatMap(
      delayAfter(pool.retry, claim.attempt),
      Option.match({
        onNone: () => giveUp,
        onSome: (delay) =>
          Effect.zipRight(
            Effect.logWarning(`job ${claim.id} failed in attempt ${claim.attempt}, and is retried`, cause),
            write(
              pool,
              run,
              JobEvent.Retried({ ...pool.events.runFields(claim), error, delay }),
              pool.queue.retry(claim, { delay, error })
            )
          )
      })
    )
  })

/** Writes how a run ended to the source and records the event; or records that the lease was lost, or the job cut. */
const write = (
  pool: Pool,
  { claim }: JobRun,
  event: Extract<JobEvent, { readonly _tag: "Succeeded" | "Retried" | "DeadLettered" }>,
  operation: Effect.Effect<unknown, LeaseLost | JobSourceError>
): Effect.Effect<void> =>
  Effect.matchEffect(retrySettlement(pool)(operation), {
    onSuccess: () => pool.events.record(event),
    onFailure: (error) =>
      error._tag === "LeaseLost"
        ? pool.events.recordLeaseLost(claim)
        : pool.events.recordCut([claim], `job ${claim.id}: the source could not record ${event._tag}`, error)
  })

/**
 * Whether an error is the reason of the job's signal, or was caused by it. Libraries pass the reason on, wrap it, or fail
 * with an `AbortError` of their own.
 */
const isAbort = (error: unknown, signal: AbortSignal, depth = 0): boolean =>
  originalError(error) === signal.reason ||
  (depth < 8 && Predicate.isRecord(error) && (
    error.name === "AbortError" || isAbort(error.cause, signal, depth + 1) || isAbort(error.error, signal, depth + 1)
  ))

/** Whether a process stopped because of the drain, by its interruption or by itself, and not because of a failure. */
export const isCooperativeStop = (pool: Pool, run: JobRun, cause: Cause.Cause<unknown>): boolean => {
  if (pool.lifecycle.hasReached("Interrupting")) return Cause.isInterrupted(cause)
  if (!mayStop(pool)) return false
  const signal = run.abortController?.signal
  return Cause.isInterruptedOnly(cause) || (signal !== undefined && isAbort(Cause.squash(cause), signal))
}
