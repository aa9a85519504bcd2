/**
 * Where a worker pool's jobs come from: the contract that engines stand behind.
 *
 * @since 0.1.0
 */
import { Context, type DateTime, type Duration, type Effect, type Option, Schema, type Scope } from "effect"

/**
 * The engine is away, or refused what it was asked.
 *
 * @since 0.1.0
 * @category errors
 */
export class JobSourceError extends Schema.TaggedError<JobSourceError>()("JobSourceError", {
  /** The operation that failed, such as `claim` or `offer`. */
  operation: Schema.String,
  queue: Schema.String,
  cause: Schema.Defect
}) {
  override get message() {
    return `${this.queue}: ${this.operation} failed: ${this.cause instanceof Error ? this.cause.message : this.cause}`
  }
}

/**
 * A bounded queue that has no room: offer again later, or tell the client to (503 with `Retry-After`).
 *
 * @since 0.1.0
 * @category errors
 */
export class QueueFull extends Schema.TaggedError<QueueFull>()("QueueFull", {
  queue: Schema.String,
  capacity: Schema.Int
}) {
  override get message() {
    return `${this.queue}: the queue is full (${this.capacity} jobs)`
  }
}

/**
 * The job belongs to somebody else by now: its lease ran out, or it was cancelled. Nothing was written.
 *
 * @since 0.1.0
 * @category errors
 */
export class LeaseLost extends Schema.TaggedError<LeaseLost>()("LeaseLost", {
  queue: Schema.String,
  id: Schema.String
}) {
  override get message() {
    return `${this.queue}: the lease of job ${this.id} is gone; nothing was written`
  }
}

/**
 * One job, leased to this process until it is settled. Every claim of a job is another lease, with another `token`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Claim {
  readonly id: string
  /** Tells this lease from every earlier and later one of the same job: the fence. */
  readonly token: string
  /** The payload as it was offered (encoded: plain JSON for durable engines). */
  readonly payload: unknown
  /** 1 for the first; failures and dead processes add one, hand-backs do not. */
  readonly attempt: number
  /** What the last `checkpoint` left (encoded), none before the first. */
  readonly cursor: Option.Option<unknown>
}

/**
 * What a fenced transaction does with the job, in the same commit as the writes.
 *
 * @since 0.1.0
 * @category models
 */
export type Settlement =
  | { readonly _tag: "Ack" }
  | { readonly _tag: "Checkpoint"; readonly cursor: unknown; readonly handBack: boolean }

/**
 * One named queue of an engine.
 *
 * Waiting and claiming are two operations, because only one of them may be interrupted: `wait` holds nothing and may
 * be given up at any point, `claim` is short and runs uninterruptibly, so that no claimed job is ever dropped between
 * the engine and the pool.
 *
 * @since 0.1.0
 * @category models
 */
export interface JobQueue {
  /**
   * Stores jobs. Joins the transaction it is called in, where the engine has transactions: nobody sees the jobs before
   * it commits. Returns their ids. All or none, except that an id which the queue still holds is left as it is.
   */
  readonly offer: (
    payloads: ReadonlyArray<unknown>,
    options?: OfferAllOptions
  ) => Effect.Effect<ReadonlyArray<string>, JobSourceError | QueueFull>
  /**
   * Completes when there may be something to claim: a job became available since the last `claim` (by this process, by
   * another one, by a retry that is due), or it is time to look again. May complete in vain; never misses for longer
   * than the engine's poll interval.
   */
  readonly wait: Effect.Effect<void, JobSourceError>
  /** Leases up to `limit` available jobs, oldest first. Empty when there are none: it never waits for one. */
  readonly claim: (limit: number) => Effect.Effect<ReadonlyArray<Claim>, JobSourceError>
  /**
   * Runs `writes` and settles the job, in one short transaction where the engine has them (then all or nothing, fenced:
   * `LeaseLost` rolls the writes back), one after the other where it has not.
   */
  readonly transact: <A, E, R>(
    claim: Claim,
    writes: Effect.Effect<A, E, R>,
    settlement: Settlement
  ) => Effect.Effect<A, E | LeaseLost | JobSourceError, R>
  /** Spends the attempt and makes the job available again after `delay`. */
  readonly retry: (
    claim: Claim,
    options: { readonly delay: Duration.Duration; readonly error: string }
  ) => Effect.Effect<void, LeaseLost | JobSourceError>
  /** Gives the job up: it goes to the dead letters, with its payload and what went wrong. */
  readonly deadLetter: (claim: Claim, error: string) => Effect.Effect<void, LeaseLost | JobSourceError>
  /**
   * Gives jobs back without spending their attempts, available at once, peers woken; one statement for all of them.
   * Claims whose lease is gone are passed over, and returned.
   */
  readonly handBack: (claims: ReadonlyArray<Claim>) => Effect.Effect<ReadonlyArray<Claim>, JobSourceError>
  /** Renews the leases, and returns the claims whose lease is gone. Never waits for a connection that jobs may hold. */
  readonly renew: (claims: ReadonlyArray<Claim>) => Effect.Effect<ReadonlyArray<Claim>, JobSourceError>
  /** Jobs that are available now or later, without those that are claimed. */
  readonly size: Effect.Effect<number, JobSourceError>
  /** What the queue holds of a job; none when it never had it, or has forgotten it, as every job that was acknowledged. */
  readonly find: (id: string) => Effect.Effect<Option.Option<StoredJob>, JobSourceError>
  readonly deadLetters: DeadLetters
}

/**
 * The jobs that were given up. They stay until somebody retries or discards them.
 *
 * @since 0.1.0
 * @category models
 */
export interface DeadLetters {
  /**
   * At most `limit`, oldest first: from the beginning, or what comes after a letter that was listed before. Those of the
   * same millisecond are in an order of their own, always the same: reading page by page gives each once.
   */
  readonly list: (
    limit: number,
    after?: Pick<DeadLetter, "id" | "failedAt">
  ) => Effect.Effect<ReadonlyArray<DeadLetter>, JobSourceError>
  readonly get: (id: string) => Effect.Effect<Option.Option<DeadLetter>, JobSourceError>
  /**
   * Makes them jobs again: same id and payload, available at once, peers woken, all their attempts before them. They go on
   * from their cursor, or with `fromStart` from the beginning. Joins transactions as `offer` does. Ids that are no dead
   * letters (any more) are passed over. Returns how many were retried.
   */
  readonly redrive: (
    ids: ReadonlyArray<string>,
    options?: { readonly fromStart?: boolean | undefined }
  ) => Effect.Effect<number, JobSourceError>
  /** Forgets them for good. Joins transactions as `offer` does. Returns how many there were. */
  readonly discard: (ids: ReadonlyArray<string>) => Effect.Effect<number, JobSourceError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface OfferOptions {
  /** Not available before this has passed; at once by default. */
  readonly delay?: Duration.DurationInput | undefined
  /**
   * The job's id, any text; one of the engine's making by default. To offer an id that the queue still holds, waiting,
   * running or among the dead letters, changes nothing: so who does not know whether an offer arrived offers again. An
   * id is free again when its job was acknowledged or discarded.
   */
  readonly id?: string | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface OfferAllOptions extends Omit<OfferOptions, "id"> {
  /** The ids of the jobs, in their order, see `OfferOptions.id`: as many as there are jobs, or none at all. */
  readonly ids?: ReadonlyArray<string> | undefined
}

/**
 * A job that its queue holds. `Waiting` is also one whose delay is not over, and one whose process has died unnoticed is
 * `Running`. `attempt` is the one that runs, or will run, or was the last; `cursor` is what the last checkpoint left.
 *
 * @since 0.1.0
 * @category models
 */
export interface StoredJob {
  readonly id: string
  readonly state: "Waiting" | "Running" | "Dead"
  readonly payload: unknown
  readonly attempt: number
  readonly cursor: Option.Option<unknown>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface DeadLetter {
  readonly id: string
  readonly payload: unknown
  readonly cursor: Option.Option<unknown>
  /** What went wrong in the last attempt, in words. */
  readonly error: string
  /** The attempt that was the last. */
  readonly attempt: number
  readonly failedAt: DateTime.Utc
}

/**
 * @since 0.1.0
 * @category models
 */
export interface QueueOptions {
  /** Letters, digits, `_`, `-`, `.` and `/` are fine for every engine. */
  readonly name: string
  /**
   * How long a lease lasts without being renewed: the job of a dead process is available again after it, at the latest
   * 15 seconds after the death by default.
   */
  readonly lease?: Duration.DurationInput | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * Whether jobs outlive the process. Pools over a durable source stop taking as soon as the service is told to stop,
   * and hand back what they could not finish; pools over memory are drained empty, after their producers.
   */
  readonly durable: boolean
  /** How often leases must be renewed. */
  readonly renewEvery: Duration.Duration
  /** Opens a queue, making what it needs. Opening it twice, or in two processes at once, is fine. */
  readonly open: (options: QueueOptions) => Effect.Effect<JobQueue, JobSourceError, Scope.Scope>
}

/**
 * Where worker pools get their jobs from.
 *
 * @since 0.1.0
 * @category tags
 */
export class JobSource extends Context.Tag("lastcall/JobSource")<JobSource, Service>() {}
