/**
 * Supervised fibers over a source of jobs: typed, drained, and every job accounted for.
 *
 * @since 0.1.0
 */
import { Context, DateTime, type Duration, Effect, Layer, type Option, Schedule, type Schema } from "effect"
import type { Steps, Timeouts } from "../../core/Drain.js"
import type { Progress } from "../../core/Shutdown.js"
import { type Codec, codec } from "./internal/codec.js"
import { makePool } from "./internal/makePool.js"
import { condition, type PoolState, progress, record } from "./internal/poolState.js"
import type { JobContext } from "./JobContext.js"
import { JobEvent } from "./JobEvent.js"
import {
  type DeadLetters,
  JobSource,
  JobSourceError,
  type OfferAllOptions,
  type OfferOptions,
  type QueueFull,
  type StoredJob
} from "./JobSource.js"

export type { JobContext }

/**
 * @since 0.1.0
 * @category models
 */
export interface Options<Job, Cursor, E, R, R2 = never> extends Timeouts {
  /** How many jobs run at a time. A job is taken when there is a slot for it, never ahead. */
  readonly concurrency: number
  /**
   * Does one job, outside any transaction, in its own span. It is interrupted when its drain is given up; then it is
   * handed back without having spent an attempt, so it must be able to begin again (or go on from its cursor).
   */
  readonly process: (job: Job, context: JobContext<Cursor>) => Effect.Effect<unknown, E, R>
  /**
   * When a job that failed runs again, and when it is given up: the delays are those of the schedule, as many attempts as
   * it allows, then the dead letters. It is stepped anew for every job, from its beginning, by the number of attempts.
   * By default five attempts, about 1, 2, 4 and 8 seconds apart: an outage of seconds costs no job, a bug no day.
   */
  readonly retry?: Schedule.Schedule<unknown, void> | undefined
  /**
   * Failures that no further attempt will mend: the job goes straight to the dead letters. None by default. Written after
   * `process`, it knows its errors.
   */
  readonly permanent?: ((error: NoInfer<E>) => boolean) | undefined
  /** How long the lease of a job lasts without being renewed, which it is. By default what the source says. */
  readonly lease?: Duration.DurationInput | undefined
  /**
   * When to take no more jobs: as soon as the service is told to stop, or in its turn (`"Release"`: right for pools whose
   * results a handler waits for). `"LameDuck"` by default over a durable source. Over memory it is always `"Release"`, and
   * then the queue is drained empty, after everything that offers jobs has been released.
   */
  readonly quiesceOn?: Steps<unknown>["quiesceOn"]
  /**
   * Is told of everything that happens to the jobs, in the order in which it does, from before the first one until the
   * pool has ended. It runs in place, and holds up the job it is told of: hand the event on if that takes time. Its
   * failures are logged, and change nothing.
   */
  readonly onEvent?: ((event: JobEvent) => Effect.Effect<unknown, unknown, R2>) | undefined
}

/**
 * A job that this process runs now. `cursor` is what its last checkpoint left, as it is stored.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunningJob {
  readonly id: string
  readonly attempt: number
  readonly startedAt: DateTime.Utc
  readonly cursor: Option.Option<unknown>
}

/**
 * Where a pool is. `condition` is `Running`, `Quiesced`, `Closed`, `Waiting for the source: ...` or `Crashed: ...` with the
 * reason. A unit of work is one run of a job: `finished` when its success, its retry or its dead letter was written, `cut`
 * when the source could not be told, so that the lease will run out.
 *
 * @since 0.1.0
 * @category models
 */
export interface Status extends Progress {
  readonly condition: string
  readonly concurrency: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service<in Job> {
  readonly offer: (job: Job, options?: OfferOptions) => Effect.Effect<string, JobSourceError | QueueFull>
  readonly offerAll: (
    jobs: ReadonlyArray<Job>,
    options?: OfferAllOptions
  ) => Effect.Effect<ReadonlyArray<string>, JobSourceError | QueueFull>
  readonly status: Effect.Effect<Status>
  /** The jobs that this process runs, oldest first. */
  readonly running: Effect.Effect<ReadonlyArray<RunningJob>>
  /** What the queue holds of a job, in whatever process it runs; none when it is done. As it is stored. */
  readonly find: (id: string) => Effect.Effect<Option.Option<StoredJob>, JobSourceError>
  /** The jobs that were given up, as they are stored: what does not decode is among them. */
  readonly deadLetters: DeadLetters
}

/**
 * How jobs and cursors are stored. Without a schema they are stored as they are, so over a durable source they must be
 * plain JSON. A stored job that does not decode goes to the dead letters.
 *
 * @since 0.1.0
 * @category models
 */
export interface Schemas<Job, Cursor> {
  readonly payload?: Schema.Schema.AnyNoContext & { readonly Type: Job }
  readonly cursor?: Schema.Schema.AnyNoContext & { readonly Type: Cursor }
}

/**
 * The class that `Tag` makes: the tag of the pool, and everything that is done with it.
 *
 * @since 0.1.0
 * @category models
 */
export interface TagClass<in out Self, Name extends string, in out Job, in out Cursor>
  extends Context.TagClass<Self, `lastcall/WorkerPool/${Name}`, Service<Job>>
{
  /**
   * Offers a job and returns its id. Within a transaction, over a source that joins it, nobody sees the job before the
   * commit. `QueueFull` when a bounded source has no room.
   */
  readonly offer: (job: Job, options?: OfferOptions) => Effect.Effect<string, JobSourceError | QueueFull, Self>
  /** Offers all of the jobs or none, except those whose ids the queue still holds. */
  readonly offerAll: (
    jobs: ReadonlyArray<Job>,
    options?: OfferAllOptions
  ) => Effect.Effect<ReadonlyArray<string>, JobSourceError | QueueFull, Self>
  readonly status: Effect.Effect<Status, never, Self>
  /** The pool that takes this queue's jobs. Several processes may run it over one durable source. */
  readonly layer: <E, R, R2 = never>(
    options: Options<Job, Cursor, E, R, R2>
  ) => Layer.Layer<Self, JobSourceError, JobSource | R | R2>
}

const defaultRetry: Schedule.Schedule<unknown, void> = Schedule.exponential("1 second").pipe(
  Schedule.jittered,
  Schedule.intersect(Schedule.recurs(4))
)

/**
 * Makes the class of a pool. `name` is its queue's name, and its own in the report.
 *
 * What becomes of a job is decided by how its process ends. *Success* acknowledges it, unless `complete` already did.
 * A *failure or defect* spends the attempt: it is retried by the schedule, or goes to the dead letters. *Interruption* by
 * the pool hands it back, attempt kept, peers woken. A *dead process* spends the attempt when the lease has run out.
 *
 * **Promised:** a job that was accepted is finished, handed back, or counted as cut; one that is claimed belongs to one run
 * at a time, as far as `complete` and `checkpoint` can tell. **Not promised:** that a process runs only once. What it does
 * beside those two may happen again.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { JobSourceMemory, WorkerPool } from "lastcall"
 *
 * class Mailer extends WorkerPool.Tag("mailer")<Mailer, { readonly to: string }>() {}
 *
 * const MailerLive = Mailer.layer({
 *   concurrency: 8,
 *   drainTimeout: "10 seconds",
 *   process: ({ to }) => Effect.log(`mail to ${to}`)
 * }).pipe(Layer.provide(JobSourceMemory.layer()))
 *
 * const program = Mailer.offer({ to: "ada@example.org" }).pipe(Effect.provide(MailerLive))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const Tag =
  <const Name extends string>(name: Name) =>
  <Self, Job, Cursor = unknown>(schemas: Schemas<Job, Cursor> = {}): TagClass<Self, Name, Job, Cursor> => {
    const Pool = Context.Tag(`lastcall/WorkerPool/${name}`)<Self, Service<Job>>()
    const work = { payload: codec(schemas.payload), cursor: codec(schemas.cursor) }
    return Object.assign(Pool, {
      offer: (job: Job, options?: OfferOptions) => Effect.flatMap(Pool, (pool) => pool.offer(job, options)),
      offerAll: (jobs: ReadonlyArray<Job>, options?: OfferAllOptions) =>
        Effect.flatMap(Pool, (pool) => pool.offerAll(jobs, options)),
      status: Effect.flatMap(Pool, (pool) => pool.status),
      layer: <E, R, R2 = never>(options: Options<Job, Cursor, E, R, R2>) =>
        Layer.scoped(
          Pool,
          Effect.gen(function*() {
            const { concurrency, lease, onEvent, permanent, process, quiesceOn, retry = defaultRetry, ...timeouts } =
              options
            if (!Number.isInteger(concurrency) || concurrency < 1) {
              return yield* Effect.dieMessage(
                `${name}: concurrency must be an integer of at least 1, but is ${concurrency}`
              )
            }
            const services = yield* Effect.context<R | R2>()
            const pool = yield* makePool(name, yield* JobSource, {
              ...timeouts,
              concurrency,
              lease,
              quiesceOn,
              retry,
              isPermanent: (failure) => permanent?.(failure as E) ?? false,
              observe: onEvent &&
                ((event) =>
                  Effect.catchAllCause(Effect.provide(Effect.suspend(() => onEvent(event)), services), (cause) =>
                    Effect.logWarning(`${name}: onEvent failed`, cause)))
            }, {
              ...work,
              process: (job, context) =>
                Effect.provide(process(job, context), services)
            })
            return makeService(pool, work.payload)
          })
        )
    })
  }

const makeService = <Job>(pool: PoolState, codec: Codec<Job>): Service<Job> => {
  /** What was done is told, whatever becomes of who did it. */
  const told = <A, E>(
    what: "Offered" | "Redriven" | "Discarded",
    operation: Effect.Effect<A, E>,
    of: (result: A) => { readonly ids: ReadonlyArray<string>; readonly count: number }
  ) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.tap(restore(operation), (result) => {
        const jobs = of(result)
        return jobs.count === 0 ? Effect.void : record(pool, JobEvent[what]({ pool: pool.name, ...jobs }))
      })
    )
  const offerAll: Service<Job>["offerAll"] = (jobs, options) =>
    Effect.flatMap(Effect.forEach(jobs, codec.encode), (payloads) =>
      pool.closed && !pool.durable
        ? new JobSourceError({ operation: "offer", queue: pool.name, cause: new Error("the pool has ended") })
        : told("Offered", pool.queue.offer(payloads, options), (ids) => ({ ids, count: ids.length })))
  const { deadLetters } = pool.queue
  return {
    offer: (job, { id, ...options } = {}) =>
      Effect.map(offerAll([job], id === undefined ? options : { ...options, ids: [id] }), ([id]) => id!),
    offerAll,
    status: Effect.sync(() => ({
      condition: condition(pool),
      concurrency: pool.concurrency,
      ...progress(pool)
    })),
    running: Effect.sync(() =>
      pool.inFlight.units().map(({ data: { claim, cursor, startedAt } }) => ({
        id: claim.id,
        attempt: claim.attempt,
        startedAt: DateTime.unsafeMake(startedAt),
        cursor
      }))
    ),
    find: pool.queue.find,
    deadLetters: {
      ...deadLetters,
      redrive: (ids, options) => told("Redriven", deadLetters.redrive(ids, options), (count) => ({ ids, count })),
      discard: (ids) => told("Discarded", deadLetters.discard(ids), (count) => ({ ids, count }))
    }
  }
}
