/**
 * The contract between worker pools and the engines that store their jobs.
 *
 * An engine implements `Service` and passes the conformance suite. Implementations: `JobSourceMemory`, `JobSourceSql` with or
 * without a `JobCarrier`, and `JobSourceRedis`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { JobSource } from "lastcall"
 *
 * // Redrives the oldest dead letters of a queue, without a pool.
 * const redriveOldest = Effect.gen(function*() {
 *   const source = yield* JobSource.JobSource
 *   const { deadLetters } = yield* source.open({ name: "mailer" })
 *   const letters = yield* deadLetters.list(10)
 *   return yield* deadLetters.redrive(letters.map(({ id }) => id))
 * }).pipe(Effect.scoped)
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { type Array, Context, type DateTime, type Duration, type Effect, type Option, type Scope } from "effect"
import type { Dependency, OfferAllOptions, OfferOptions, QueueOffer } from "./internal/offerOptions.js"
import type { OrphanTurn } from "./internal/orphanTurn.js"
import { InvalidPosition, JobSourceError, LeaseLost, QueueFull, UnknownDependency } from "./internal/sourceErrors.js"
import type { WhileBlocked } from "./internal/whileBlocked.js"
import type { QueueControl, StoredJob } from "./QueueControl.js"

export { InvalidPosition, JobSourceError, LeaseLost, QueueFull, UnknownDependency }
export type { Dependency, OfferAllOptions, OfferOptions, OrphanTurn, QueueOffer, StoredJob }

/**
 * One job that this process has claimed. It holds the job until it settles it, or until the lease expires because it was not
 * renewed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Claim {
  /** The id of the job. */
  readonly id: string
  /** Different for each claim of the same job. Engines compare it before they write: it is the fence. */
  readonly token: string
  /** The payload as it was offered, encoded: plain JSON for durable engines. */
  readonly payload: unknown
  /** 1 for the first attempt. Failures and dead processes add one; hand-backs do not. */
  readonly attempt: number
  /** The cursor of the last checkpoint, encoded; none before the first. */
  readonly cursor: Option.Option<unknown>
  /** Whether a process died while it ran the job, since its offer or its redrive. The job may be the reason. */
  readonly orphan: boolean
}

/**
 * How `JobQueue.transact` settles the job in the commit of its writes: `Ack` removes the job from the queue, and keeps the encoded
 * `value`, which is called after the writes, for as long as the id of the job. `Checkpoint`
 * stores a cursor, and with `handBack` also makes the job available to other processes. `Snooze` makes the job available after
 * the delay without spending the attempt, and stores the cursor, if there is one.
 *
 * @since 0.1.0
 * @category models
 */
export type Settlement =
  | { readonly _tag: "Ack"; readonly value?: (() => unknown) | undefined }
  | { readonly _tag: "Checkpoint"; readonly cursor: unknown; readonly handBack: boolean }
  | { readonly _tag: "Snooze"; readonly delay: Duration.Duration; readonly cursor: Option.Option<unknown> }

/**
 * How a job has ended: `Succeeded`, with the value it was acknowledged with, if any; as a dead letter, with its failure, encoded, if any; or `Gone`: it was cancelled, its dead letter
 * discarded, or the queue never had it, or does not keep its id any more.
 *
 * @since 0.1.0
 * @category models
 */
export type JobEnd =
  | { readonly _tag: "Succeeded"; readonly value: Option.Option<unknown> }
  | { readonly _tag: "DeadLettered"; readonly error: string; readonly failure: Option.Option<unknown> }
  | { readonly _tag: "Gone" }

/**
 * One named queue of an engine.
 *
 * `wait` and `claim` are two operations, because only one of them is interruptible: `wait` holds nothing and may be
 * interrupted at any point; `claim` is short and runs uninterruptibly, so that no claimed job is lost between the
 * engine and the pool.
 *
 * @since 0.1.0
 * @category models
 */
export interface JobQueue extends QueueControl {
  /**
   * Stores all of the jobs or none, except that a job whose id is in the queue is left unchanged. Returns their ids. Joins the
   * caller's transaction where the engine has transactions: the jobs become visible with its commit.
   */
  readonly offer: (
    payloads: ReadonlyArray<unknown>,
    options?: QueueOffer
  ) => Effect.Effect<ReadonlyArray<string>, JobSourceError | QueueFull>
  /**
   * Completes when there may be a job to claim: a job became available after the last `claim` (in this process, in another
   * one, or because its delay has passed), or the engine's poll interval has passed. It may complete although there is
   * no job.
   */
  readonly wait: Effect.Effect<void, JobSourceError>
  /**
   * Claims up to `limit` available jobs, by priority and then oldest first, among them at most one of each key and one orphan: none unless `orphan`,
   * which is `true` by default. Returns none when there are none: it does not wait for jobs.
   */
  readonly claim: (
    limit: number,
    options?: { readonly orphan?: boolean | undefined }
  ) => Effect.Effect<ReadonlyArray<Claim>, JobSourceError>
  /**
   * Runs `writes`, and then settles the job. Where the engine has transactions, both are one short transaction, and `LeaseLost`
   * rolls the writes back.
   */
  readonly transact: <A, E, R>(
    claim: Claim,
    writes: Effect.Effect<A, E, R>,
    settlement: Settlement
  ) => Effect.Effect<A, E | LeaseLost | JobSourceError, R>
  /** Acknowledges the jobs; one statement for all of them. Skips the claims whose lease was lost, and returns them. */
  readonly acknowledge: (claims: ReadonlyArray<Claim>) => Effect.Effect<ReadonlyArray<Claim>, JobSourceError>
  /**
   * Acknowledges jobs together with `writes`, which gets the claims that are still held. Returns its value, and the claims whose
   * lease was lost. Where the engine has transactions it is one, in which all jobs are acknowledged by the first statement: no lease
   * of the others can be lost from there on. Elsewhere the leases are checked and renewed, and the jobs acknowledged after the
   * writes. Fails with `LeaseLost`, without the writes, when no claim is held.
   */
  readonly transactAll: <A, E, R>(
    claims: Array.NonEmptyReadonlyArray<Claim>,
    writes: (held: Array.NonEmptyReadonlyArray<Claim>) => Effect.Effect<A, E, R>
  ) => Effect.Effect<
    { readonly value: A; readonly lost: ReadonlyArray<Claim> },
    E | LeaseLost | JobSourceError,
    R
  >
  /** Spends the attempt and makes the job available after `delay`. */
  readonly retry: (
    claim: Claim,
    options: { readonly delay: Duration.Duration; readonly error: string }
  ) => Effect.Effect<void, LeaseLost | JobSourceError>
  /** Moves the job to the dead letters, with its payload, its cursor, the error, and its failure, encoded: none by default. */
  readonly deadLetter: (
    claim: Claim,
    error: string,
    failure?: Option.Option<unknown>
  ) => Effect.Effect<void, LeaseLost | JobSourceError>
  /**
   * Makes the jobs available at once without spending attempts, and wakes other processes; one statement for all jobs.
   * Skips the claims whose lease was lost, and returns them.
   */
  readonly handBack: (claims: ReadonlyArray<Claim>) => Effect.Effect<ReadonlyArray<Claim>, JobSourceError>
  /**
   * Renews leases while the event loop is blocked, where the engine can. None where no pool runs jobs.
   *
   * @internal
   */
  readonly whileBlocked?: WhileBlocked | undefined
  /** Renews the leases and returns the claims whose lease was lost. Does not wait for connections that jobs may hold. */
  readonly renew: (claims: ReadonlyArray<Claim>) => Effect.Effect<ReadonlyArray<Claim>, JobSourceError>
  /** The number of jobs that are available now or later, excluding claimed ones. */
  readonly size: Effect.Effect<number, JobSourceError>
  /** A job as it is stored; none when the queue never had it, or when it was acknowledged or discarded. */
  readonly find: (id: string) => Effect.Effect<Option.Option<StoredJob>, JobSourceError>
  /**
   * Completes when the job has ended, by whatever process, or at once if it has. Keeps the id of a job that has not ended for at least a minute after its
   * end, and has the engine announce the end; when the message is lost, the end is seen within the poll interval. While the engine is unavailable it goes
   * on waiting. Interruptible: it holds nothing.
   */
  readonly awaitEnd: (id: string) => Effect.Effect<JobEnd, JobSourceError>
  /** The jobs of this queue that failed for the last time. */
  readonly deadLetters: DeadLetters
}

/**
 * The jobs that failed for the last time. They stay until they are redriven or discarded. Their failures are encoded, except those of a pool with the schema
 * `failure`.
 *
 * @since 0.1.0
 * @category models
 */
export interface DeadLetters<out Failure = unknown> {
  /**
   * At most `limit` dead letters, oldest first: from the start, or after one that was listed before. Dead letters of the same
   * millisecond have a fixed order, so reading page by page returns each of them once.
   */
  readonly list: (
    limit: number,
    after?: Pick<DeadLetter, "id" | "failedAt">
  ) => Effect.Effect<ReadonlyArray<DeadLetter<Failure>>, JobSourceError>
  /** The dead letter of this job; none when the job is no dead letter. */
  readonly get: (id: string) => Effect.Effect<Option.Option<DeadLetter<Failure>>, JobSourceError>
  /**
   * Makes dead letters jobs again, with the same id and payload and all attempts, available at once; other processes are
   * woken. They continue from their cursor, or with `fromStart` without one. Joins transactions as `offer` does. Skips
   * ids that are no dead letters. Returns the number of redriven jobs.
   */
  readonly redrive: (
    ids: ReadonlyArray<string>,
    options?: { readonly fromStart?: boolean | undefined }
  ) => Effect.Effect<number, JobSourceError>
  /** Deletes dead letters. Joins transactions as `offer` does. Returns the number of deleted ones. */
  readonly discard: (ids: ReadonlyArray<string>) => Effect.Effect<number, JobSourceError>
}

/**
 * A job that failed for the last time.
 *
 * @since 0.1.0
 * @category models
 */
export interface DeadLetter<out Failure = unknown> extends Pick<StoredJob, "id" | "payload" | "attempt" | "cursor"> {
  /** The error of the last attempt, as text. */
  readonly error: string
  /**
   * The error of the last attempt, if it was one of the schema `failure` of its pool: none when the job died for another reason, such as a defect, a
   * lease that ran out, or a payload that does not decode; when a process without the schema stored it; and when it does not decode.
   */
  readonly failure: Option.Option<Failure>
  /** When the last attempt failed. */
  readonly failedAt: DateTime.Utc
}

/**
 * Options for opening a queue.
 *
 * @since 0.1.0
 * @category models
 */
export interface QueueOptions {
  /** The name of the queue. Every engine accepts letters, digits, `_`, `-`, `.` and `/`. */
  readonly name: string
  /** How long a lease lasts unless it is renewed. By default the engine's: a job of a dead process is available again within 15 seconds. */
  readonly lease?: Duration.DurationInput | undefined
  /** How many of its jobs this process runs at a time, where a pool opens it: an engine may warn that it has less for them. */
  readonly concurrency?: number | undefined
}

/**
 * An engine that stores the jobs of worker pools.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * Whether jobs outlive the process. A pool over a durable source quiesces when the shutdown begins, and hands back the
   * jobs that it cannot finish. A pool over memory empties its queue, after everything that offers jobs was released.
   */
  readonly durable: boolean
  /** Whether claims follow `OfferOptions.priority`. Where they do not, offers with a priority are refused. */
  readonly priorities: boolean
  /** Whether jobs with an `OfferOptions.key` run one at a time and in order. Where they do not, offers with a key are refused. */
  readonly keys: boolean
  /** Whether jobs wait for those of `OfferOptions.dependsOn`. Where they do not, offers that depend on jobs are refused. */
  readonly dependencies: boolean
  /** How often leases are renewed. */
  readonly renewEvery: Duration.Duration
  /** Lets the pools over this source run one orphan at a time, so that it can end no other orphan along with the process. */
  readonly orphanTurn: OrphanTurn
  /** Opens a queue and creates what it needs. Several pools and processes may open the same queue at once. */
  readonly open: (options: QueueOptions) => Effect.Effect<JobQueue, JobSourceError, Scope.Scope>
}

/**
 * The engine that worker pools get their jobs from.
 *
 * @since 0.1.0
 * @category tags
 */
export class JobSource extends Context.Tag("lastcall/JobSource")<JobSource, Service>() {}
