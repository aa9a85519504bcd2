import { type Cause, type Deferred, type Duration, Effect, Fiber, type Option, type Schedule } from "effect"
import type { InFlight } from "../../../core/internal/inFlight.js"
import type { UnitOfWork } from "../../../core/internal/unitOfWork.js"
import type { Progress } from "../../../core/Shutdown.js"
import type { Claim, JobQueue, OrphanTurn } from "../JobSource.js"
import type { ClaimedAhead } from "./claimedAhead.js"
import type { Failures } from "./failures.js"
import type { Pausing } from "./pausing.js"
import type { PoolEvents } from "./poolEvents.js"
import type { RateLimit } from "./rateLimit.js"

/**
 * The state of a pool:
 *
 * - `Running`: claims a job whenever it has a free slot, unless it is paused.
 * - `Quiesced`: claims no new jobs, except that a pool over memory empties its queue. Jobs of a durable pool may stop.
 * - `Interrupting`: its time is over and its jobs were interrupted. Skipped when all jobs have ended in time.
 * - `Closed`: has released its resources.
 */
type PoolState =
  | { readonly _tag: "Running" }
  | { readonly _tag: "Quiesced" }
  | { readonly _tag: "Interrupting"; readonly batch: HandBackBatch }
  | { readonly _tag: "Closed" }

const order: ReadonlyArray<PoolState["_tag"]> = ["Running", "Quiesced", "Interrupting", "Closed"]

/** Claims of interrupted jobs, collected for one statement. `claims` is undefined once that statement is on its way. */
export interface HandBackBatch {
  claims: Array<Claim> | undefined
  readonly flushed: Deferred.Deferred<void>
}

/** The one place that knows a pool's state. The state only moves forward. */
export interface PoolLifecycle {
  readonly state: () => PoolState
  /** Whether the pool is in this state, or a later one. */
  readonly hasReached: (tag: PoolState["_tag"]) => boolean
  /** Completes when the pool has reached this state, or a later one. */
  readonly await: (tag: PoolState["_tag"]) => Effect.Effect<void>
  /** Moves to a later state. Does nothing when the pool has reached it. */
  readonly advance: (to: PoolState) => Effect.Effect<void>
}

export const makeLifecycle: Effect.Effect<PoolLifecycle> = Effect.gen(function*() {
  let state: PoolState = { _tag: "Running" }
  const latches = yield* Effect.forEach(order, (tag) => Effect.makeLatch(tag === "Running"))
  const indexOf = (tag: PoolState["_tag"]) => order.indexOf(tag)
  return {
    state: () => state,
    hasReached: (tag) => indexOf(state._tag) >= indexOf(tag),
    await: (tag) => latches[indexOf(tag)]!.await,
    advance: (to) =>
      Effect.suspend(() => {
        if (indexOf(to._tag) <= indexOf(state._tag)) return Effect.void
        state = to
        return Effect.forEach(latches.slice(0, indexOf(to._tag) + 1), (latch) => latch.open, { discard: true })
      })
  }
})

/** One run of a job in this process. */
export interface JobRun {
  readonly claim: Claim
  readonly startedAt: number
  /** How the job was settled before its process exited. `Undecided`: the exit decides, see `settle`. */
  outcome: "Undecided" | "Completed" | "Snoozed" | "Cancelled" | "HandedBack" | "LeaseLost" | "Abandoned"
  /** Why its last `complete` wrote nothing, if it did not. A process that succeeds all the same has failed with it. */
  failedCompletion: Cause.Cause<unknown> | undefined
  /** What its process holds, and loses when the job is abandoned. The jobs of a batch have the same one. */
  unit: UnitOfWork
  /** The cursor of its last checkpoint, encoded. */
  cursor: Option.Option<unknown>
  /** What it has succeeded with, encoded; none in a pool without results. */
  result: Option.Option<unknown>
  /** For how long it has put itself off, if it has. */
  snoozedFor: Duration.Duration | undefined
  /** Created when the process first reads `JobContext.signal`. */
  abortController: AbortController | undefined
  /** What runs it together with others, in pools that run batches. */
  batch: Batch | undefined
}

/** Jobs that one call of `processAll` runs. */
export interface Batch {
  readonly runs: ReadonlyArray<JobRun>
  /** Runs the call, once it has begun. */
  fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined
}

/** Whether the process of a run that is cancelled, or has lost its lease, has nothing left to do: no other job of its batch needs it. */
export const isUseless = ({ batch }: JobRun): boolean =>
  batch === undefined || batch.runs.every(({ outcome }) => outcome !== "Undecided")

/** Interrupts the process of a run, if it has nothing left to do. Does not wait for its exit. */
export const interruptRun = ({ data, fiber }: ReturnType<Pool["inFlight"]["units"]>[number]): Effect.Effect<void> =>
  Effect.fiberIdWith((id) => {
    const running = data.batch === undefined ? fiber : data.batch.fiber
    return running !== undefined && isUseless(data) ? Fiber.interruptAsFork(running, id) : Effect.void
  })

/** A fiber that a pool runs until it ends. */
export type Loop = "dispatcher" | "heartbeat"

/** The state that the modules of one pool share. */
export interface Pool {
  readonly name: string
  readonly queue: JobQueue
  readonly orphanTurn: OrphanTurn
  /** Whether jobs outlive the process, so that a job which is handed back runs elsewhere. */
  readonly durable: boolean
  readonly concurrency: number
  readonly rateLimit: RateLimit
  readonly retry: Schedule.Schedule<unknown, void>
  /** Whether a failure must not be retried. */
  readonly isPermanent: (failure: unknown) => boolean
  /** What a dead letter keeps of a failure. */
  readonly encodeFailure: Failures<unknown>["encode"]
  readonly lifecycle: PoolLifecycle
  readonly events: PoolEvents
  readonly pausing: Pausing
  readonly inFlight: InFlight<JobRun>
  /** See `ClaimAhead`. */
  readonly claimedAhead: ClaimedAhead
  /** The loops that wait for the source, with its errors. */
  readonly waitingForSource: Map<Loop, string>
  /** Why the pool does not restart a loop any more. */
  crash: string | undefined
}

/** Whether a claimed job is run: the pool is not paused. A pool over memory runs jobs until its queue is empty or its time is over. */
export const mayStart = ({ durable, lifecycle, pausing }: Pool): boolean =>
  !lifecycle.hasReached(durable ? "Quiesced" : "Interrupting") && !pausing.isPaused()

/** Whether a job may stop before its time is over: another process must be able to run it. */
export const mayStop = ({ durable, lifecycle }: Pool): boolean => durable && lifecycle.hasReached("Quiesced")

/** `WorkerPool.Status.condition`: the state, or what keeps the pool from claiming jobs, with the error. */
export const condition = ({ crash, lifecycle, pausing, waitingForSource }: Pool): string => {
  const [error] = waitingForSource.values()
  if (lifecycle.hasReached("Closed")) return "Closed"
  if (crash !== undefined) return `Crashed: ${crash}`
  if (error !== undefined) return `Waiting for the source: ${error}`
  const { _tag } = lifecycle.state()
  return _tag === "Running" && pausing.isPaused() ? "Paused" : _tag
}

/** What `/readyz` shows: no errors, because they may contain addresses. */
export const publicCondition = ({ crash, lifecycle, pausing, waitingForSource }: Pool): string | undefined => {
  if (lifecycle.hasReached("Closed")) return undefined
  if (crash !== undefined) return "Crashed"
  if (waitingForSource.size > 0) return "WaitingForSource"
  return pausing.isPaused() ? "Paused" : undefined
}

export const progress = ({ events, inFlight }: Pool): Progress => ({ ...events.counts, inFlight: inFlight.size() })
