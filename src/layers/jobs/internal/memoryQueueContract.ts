import type { DateTime, Option } from "effect"
import type { Claim, DeadLetter, JobEnd } from "../JobSource.js"
import type { JobState } from "../QueueControl.js"
import type { MemoryEnds } from "./memoryEnds.js"
import type { AddOptions, Cancelled, Entry } from "./memoryJob.js"

/**
 * A queue as a data structure: synchronous, and without a clock of its own. Times are monotonic milliseconds, except
 * `failedAt`, which is wall time.
 */
export interface MemoryQueue {
  /** The number of jobs that are available now or later, excluding claimed ones. */
  readonly size: () => number
  /** Whether the queue has a job of this id, in any state, or keeps the id of one. */
  readonly has: (now: number, id: string) => boolean
  /** Adds jobs, except those whose ids the queue has. Returns the ids of all of them. */
  readonly add: (now: number, payloads: ReadonlyArray<unknown>, options: AddOptions) => ReadonlyArray<string>
  /**
   * How long until there may be a job to claim: at most zero when there is one, infinite when none is known. Orphans that the
   * last claim left are none.
   */
  readonly dueIn: (now: number) => number
  /** While it is paused it gives no jobs. */
  readonly setPaused: (paused: boolean) => void
  /** See `JobQueue.claim`. */
  readonly claim: (now: number, limit: number, orphan: boolean) => ReadonlyArray<Claim>
  /** Whether the claim has its lease. The operations below do nothing for a claim that has not. */
  readonly isHeld: (now: number, claim: Claim) => boolean
  readonly setLease: (claim: Claim, until: number) => void
  /** Prolongs the lease, and never shortens it. */
  readonly renew: (claim: Claim, until: number) => void
  readonly setCursor: (claim: Claim, cursor: unknown) => void
  /** Removes an acknowledged job. */
  readonly remove: (now: number, claim: Claim, value?: Option.Option<unknown>) => void
  /** Ends the lease and makes the job available. */
  readonly putBack: (
    now: number,
    claim: Claim,
    options: { readonly attemptSpent: boolean; readonly delay: number; readonly error?: string }
  ) => void
  /** Removes jobs that wait or run. `at` is the time of the wall. */
  readonly cancel: (now: number, ids: ReadonlyArray<string>, at: DateTime.Utc) => Cancelled
  readonly find: (now: number, id: string) => Option.Option<Entry>
  /** The jobs of a state, in no order. */
  readonly entries: (now: number, state: JobState) => ReadonlyArray<Entry>
  readonly deadLetter: (now: number, claim: Claim, letter: Pick<DeadLetter, "failedAt" | "error" | "failure">) => void
  /** The dead letters, oldest first: all of them, or those after one that was listed before. */
  readonly deadLetters: (after?: Pick<DeadLetter, "id" | "failedAt">) => ReadonlyArray<DeadLetter>
  readonly redrive: (now: number, id: string, options: { readonly fromStart: boolean }) => boolean
  readonly discard: (now: number, id: string, at: DateTime.Utc) => boolean
  /** Calls back once, when `dueIn` may have become less. Returns how to stop listening. */
  readonly onChange: (callback: () => void) => () => void
  /** How the job of this id has ended; undefined when it has not. */
  readonly endOf: (now: number, id: string) => JobEnd | undefined
  readonly onEnd: MemoryEnds["listen"]
}
