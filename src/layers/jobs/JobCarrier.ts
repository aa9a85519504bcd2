/**
 * The contract between a ledger of jobs and a carrier: a message queue that says where there may be work.
 *
 * The ledger is the table of `JobSourceSql`. It owns everything about a job: its payload, attempts, lease, delay, and whether
 * it is a dead letter. A carrier distributes ids to processes, and owns nothing: a job whose id it has lost is offered
 * to it again, and a job whose id it delivers twice is claimed once. So few operations are enough, and almost any message queue
 * has them.
 *
 * `JobSourceSql.layerCarried` puts the ledger behind a carrier. `JobCarrierRedis` is one; to write another, implement
 * `Service`.
 *
 * @example
 * ```ts
 * import { Effect, Option } from "effect"
 * import { JobCarrier } from "lastcall"
 *
 * // How many of these jobs does the carrier hold?
 * const held = (ids: ReadonlyArray<string>) =>
 *   Effect.gen(function*() {
 *     const carrier = yield* JobCarrier.JobCarrier
 *     const { holds } = yield* carrier.open({ name: "mailer" })
 *     return (yield* Effect.filter(ids, holds)).length
 *   }).pipe(Effect.scoped)
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { Context, type Effect, type Option, type Scope } from "effect"
import type { JobSourceError } from "./internal/sourceErrors.js"

/**
 * An id that a carrier has delivered to this process.
 *
 * @since 0.1.0
 * @category models
 */
export interface Delivery {
  /** The id of the job. */
  readonly id: string
  /** The payload of a job that another program has added to the carrier; none when the ledger has offered the id. */
  readonly payload: Option.Option<unknown>
  /** The attempt of such a job, 1 for the first. The ledger knows that of its own jobs. */
  readonly attempt: number
}

/**
 * One named queue of a carrier. Its errors are of the carrier, and its operations end in bounded time, except `wait`.
 *
 * @since 0.1.0
 * @category models
 */
export interface CarrierQueue {
  /**
   * Holds these ids, in this order, until they are acknowledged, and wakes the processes that wait. An id that it holds already,
   * whether it is delivered or not, is left unchanged by a carrier that can look for ids; one that cannot delivers it once more, and the
   * ledger drops that. `priority` is that of `JobSource.OfferOptions`, 0 by default: a carrier with
   * `priorities` delivers lower numbers first. `first` asks for these ids to be delivered before those it holds: a carrier
   * that cannot do so ignores it, and then jobs that were handed back wait behind those that are there.
   */
  readonly offer: (
    ids: ReadonlyArray<string>,
    options?: { readonly first?: boolean | undefined; readonly priority?: number | undefined }
  ) => Effect.Effect<void, JobSourceError>
  /**
   * Completes when there may be an id to receive: one was offered after the last `receive` (by this process or another one), the
   * last `receive` left some, or the carrier's poll interval has passed. Interruptible: it holds nothing.
   */
  readonly wait: Effect.Effect<void, JobSourceError>
  /**
   * Delivers up to `limit` ids, those offered first before the others. Short, and run uninterruptibly. Returns none when
   * there are none. What is not acknowledged within the carrier's own bound is delivered again.
   */
  readonly receive: (limit: number) => Effect.Effect<ReadonlyArray<Delivery>, JobSourceError>
  /**
   * Forgets the ids of these deliveries, which are the objects that `receive` has returned. A delivery that was delivered again
   * meanwhile is skipped, and its id stays, where the carrier can tell the two apart. An id that was acknowledged and offered
   * anew meanwhile stays everywhere.
   */
  readonly ack: (deliveries: ReadonlyArray<Delivery>) => Effect.Effect<void, JobSourceError>
  /**
   * Whether it holds this id. By one that is never received, the only one of its queue, the ledger sees that the carrier has lost its
   * data. A carrier that cannot look for an id says whether any waits.
   */
  readonly holds: (id: string) => Effect.Effect<boolean, JobSourceError>
}

/**
 * A carrier.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Whether ids are delivered by priority. Where they are not, the ledger refuses jobs with a priority. */
  readonly priorities: boolean
  /** Opens a queue. Several pools and processes may open the same one at once. */
  readonly open: (options: { readonly name: string }) => Effect.Effect<CarrierQueue, JobSourceError, Scope.Scope>
}

/**
 * The carrier that `JobSourceSql.layerCarried` offers ids to, and receives them from.
 *
 * @since 0.1.0
 * @category tags
 */
export class JobCarrier extends Context.Tag("lastcall/JobCarrier")<JobCarrier, Service>() {}
