import type { Cause, Effect, Fiber, Schedule } from "effect"
import type { Duration } from "effect"
import type { Progress, Service as ShutdownService } from "../../../core/Shutdown.js"
import type { Member, TopicOffset } from "../contract.js"
import type { ConsumerMetrics } from "./consumerMetrics.js"
import { type Delivery, type Generation, started } from "./generation.js"
import type { Ledger, Transact } from "./ledger.js"

/** What a process gets beside its record. `transact` needs a ledger. */
interface ProcessContext {
  readonly attempt: number
  readonly transact: Transact | undefined
}

/** The state that the modules of one consumer share. */
export interface Consumer {
  readonly name: string
  readonly groupId: string
  readonly order: "key" | "partition"
  readonly concurrency: number
  /** A partition with so many fetched records that cannot be committed is paused. */
  readonly maxUncommitted: number
  readonly commitCount: number
  readonly commitInterval: Duration.Duration
  readonly revocationTimeout: Duration.Duration
  readonly sessionTimeout: Duration.Duration
  readonly retry: Schedule.Schedule<unknown, void>
  readonly isPermanent: (failure: unknown) => boolean
  /** One attempt at a record, with those of its batch. */
  readonly process: (delivery: Delivery, context: ProcessContext) => Effect.Effect<unknown, unknown>
  /** So many records of a partition are processed together. Undefined: one by one. */
  readonly batchSize: number | undefined
  /** Runs a worker on an uninterruptible fiber in the services of `process`. The consumer owns the daemons that it forks. */
  readonly fork: (worker: Effect.Effect<void>) => Fiber.RuntimeFiber<void>
  /** Sends a record to the dead letter topic. Undefined without one. */
  readonly deadLetter: ((delivery: Delivery, cause: Cause.Cause<unknown>) => Effect.Effect<void>) | undefined
  /** Positions and attempts in the database. Undefined without one. */
  readonly ledger: Ledger | undefined
  /** A permit for records at which processes have ended. */
  readonly suspects: Effect.Semaphore
  /** The membership, or a partition of it, is gone. */
  readonly lose: (generation: Generation, why: string) => Effect.Effect<void>
  readonly member: Member
  readonly shutdown: ShutdownService
  readonly metrics: ConsumerMetrics
  readonly counts: { finished: number; handedBack: number; cut: number }
  /** One commit at a time, so that an earlier offset never replaces a later one. */
  readonly committing: Effect.Semaphore
  /** Open when something is to be committed. */
  readonly uncommitted: Effect.Latch
  /** Open when `commitCount` records are to be committed. */
  readonly manyUncommitted: Effect.Latch
  /** One claim at a time. */
  readonly claiming: Effect.Semaphore
  /** The opening of partitions that is current: one that finds another here gives up. */
  opening: symbol | undefined
  generation: Generation
  /** Where partitions go on, if the next generation has them again. */
  kept: ReadonlyMap<string, TopicOffset>
  /** When the group last heard of the member, in monotonic milliseconds. */
  seenAt: number
  draining: boolean
  /** `counts.finished` when the drain began. */
  finishedBefore: number
  /** Why no records are fetched, for people. */
  trouble: string | undefined
  hasJoined: boolean
}

/** Whether records may start. */
export const isOpen = (consumer: Consumer, generation: Generation): boolean =>
  generation.state === "Open" && !consumer.draining

export const progress = ({ counts, generation }: Consumer): Progress => ({ ...counts, inFlight: started(generation) })

/** What `/readyz` shows: no errors, because they may contain addresses. */
export const condition = ({ draining, generation, hasJoined, trouble }: Consumer): string | undefined =>
  draining
    ? undefined
    : trouble !== undefined
    ? "WaitingForKafka"
    : !hasJoined || generation.state !== "Open"
    ? "Rebalancing"
    : undefined
