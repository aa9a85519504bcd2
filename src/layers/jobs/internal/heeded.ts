import { Cause, Predicate } from "effect"
import type { Job, PoolState } from "./poolState.js"

/** Failures within a span are proxies of the errors that they were made of. */
const original = (error: unknown): unknown => Predicate.isObject(error) ? Cause.originalError(error) : error

/** Whether an error is, or was caused by, the job's own signal: libraries pass its reason on, wrap it, or make their own. */
const isAbort = (error: unknown, signal: AbortSignal, depth = 0): boolean =>
  original(error) === signal.reason ||
  (depth < 8 && Predicate.isRecord(error) && (
    error.name === "AbortError" || isAbort(error.cause, signal, depth + 1) || isAbort(error.error, signal, depth + 1)
  ))

/** Whether a process ended because it was told that it may: its time was over, or it heeded the drain. */
export const heeded = (pool: PoolState, job: Job, cause: Cause.Cause<unknown>): boolean => {
  if (pool.interrupting) return Cause.isInterrupted(cause)
  if (!pool.durable || !pool.quiesced) return false
  const signal = job.told?.signal
  return Cause.isInterruptedOnly(cause) ||
    (signal !== undefined && isAbort(Cause.squash(cause), signal))
}
