/**
 * Jobs in Redis: fast, and at least once.
 *
 * The engine is BullMQ 6, driven command by command: none of its workers, timers or loops run. The keys are BullMQ's, so its
 * dashboards show the queues, and other programs may add jobs to them.
 *
 * - A job belongs to a claim for as long as its lock is renewed. Every claim has a lock token of its own, and each command
 *   that settles a job names it.
 * - A failure and the death of a process spend an attempt, a hand-back does not. Only the pool makes a job a dead letter.
 * - With `renewWhileBlocked`, a job that blocks the event loop keeps its lease, for up to ten minutes.
 * - Jobs whose process died wait in a list of their own, `lastcall:orphans`, while a pool runs another one.
 * - A queue is paused as BullMQ pauses it, so its dashboards show that and can do it, too.
 * - Of the jobs that wait, and of those that run, the first 1,000 can be listed: BullMQ keeps them in lists, which have no index.
 *   Those that wait are listed in the order of their offers.
 * - Other processes are woken by a message; polling finds jobs whose message was lost, and jobs added by other programs.
 *
 * **Promised:** every offered job is settled at least once, as long as Redis keeps its data. It keeps what it is configured to
 * keep: with its defaults a crash loses up to minutes of jobs, with `appendonly yes` a second, with
 * `appendfsync always` none. Its `maxmemory-policy` must be `noeviction`.
 *
 * **Not promised:** that writes are committed once. Redis and the database share no transaction: the writes of `complete` and
 * `checkpoint` are committed before the job is settled. When the process dies in between, or the lease was lost meanwhile, the
 * next run writes again. Either make the writes idempotent with `Database.once(job.id, writes)`, or keep the jobs in the database
 * and let Redis carry them, with `JobCarrierRedis`: then an offer waits for the transaction around it as well.
 *
 * One server, 6.2 or later, or its replacement after a failover; no cluster.
 *
 * @example
 * ```ts
 * import { Config, Effect, Layer } from "effect"
 * import { JobSourceRedis, WorkerPool } from "lastcall"
 *
 * class Thumbnails extends WorkerPool.Tag("thumbnails")<Thumbnails, { readonly image: string }>() {}
 *
 * const Workers = Thumbnails.layer({ concurrency: 10, process: ({ image }) => Effect.log(`resizing ${image}`) })
 *
 * export const Live = Workers.pipe(Layer.provide(JobSourceRedis.layerConfig({ url: Config.redacted("JOBS_URL") })))
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { Config, type ConfigError, Duration, Effect, Layer, type Redacted } from "effect"
import { countOption, durationOption } from "../../../core/internal/options.js"
import { JobSource } from "../JobSource.js"
import { make } from "./internal/source.js"
import { RedisError } from "./internal/url.js"

export { RedisError }

/**
 * Where Redis is, and how soon other processes act.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** `redis://user:password@host:port/number`, or `rediss://` for TLS. */
  readonly url: Redacted.Redacted
  /**
   * The beginning of all keys. `lastcall` by default, so that the keys are apart from those of an application's own BullMQ,
   * whose default is `bull`. Sources with different prefixes share nothing.
   */
  readonly prefix?: string | undefined
  /**
   * How long the lease of a job lasts without being renewed. 10 seconds by default, so that the job of a dead process is
   * available again within 15. It is renewed four times as often, so two renewals may fail. A queue may ask for a longer
   * one of its own.
   */
  readonly lease?: Duration.DurationInput | undefined
  /**
   * How often expired leases are looked for. A second by default, a small part of a lease; one process does it at a
   * time.
   */
  readonly expireEvery?: Duration.DurationInput | undefined
  /**
   * How long a queue without jobs is left alone when no message arrives: the longest a job waits when its message was
   * lost. 2 seconds by default, and up to a quarter more or less, so that processes do not poll at the same moment.
   */
  readonly pollInterval?: Duration.DurationInput | undefined
  /**
   * How long the server may take to accept a connection, and to respond to a command. 5 seconds by default: longer than a
   * busy server takes, and short beside a lease. A server that takes longer is away, and the connection is made anew.
   */
  readonly connectTimeout?: Duration.DurationInput | undefined
  /**
   * The number of jobs that each queue has room for, including delayed jobs and excluding running ones: beyond it offers fail with
   * `QueueFull`. Infinite by default: the memory of the server is the application's to plan, and such an offer counts nothing. A job that returns to the queue (a
   * retry, a hand-back, a redrive) always has room.
   *
   * It is an estimate. Jobs are counted by `depth`, at most for a tenth of the time, when the last count of this process is a second
   * old or its room is used up; so the queue may get more jobs by as many as the other processes offer within a second. A repeated offer
   * is refused as any other, although it would add nothing.
   */
  readonly capacity?: number | undefined
  /**
   * Whether leases are renewed also while a job blocks the event loop: by a thread, on a connection of its own. `false` by default:
   * each process pays for it with the thread, about 11 MB of memory and one more connection to the server, and only jobs that block for
   * longer than their lease need it.
   *
   * **Promised:** such a job, the jobs beside it and those that are claimed ahead keep their leases for up to ten minutes, and in a drain for
   * no longer than its bound. A process that is frozen or dead loses them at the usual time. **Not promised:** that they are kept when the
   * connection of the thread is lost meanwhile, which only the event loop can make anew; and the leases of a claim whose response the blocked
   * event loop has not read. Where there is no thread or no connection, one warning says why, and the pool works as without the option.
   *
   * Before Node 22.14 threads have no names, so that the exit takes a computation of `node:crypto` or `node:zlib` in libuv's thread pool
   * for this thread, and overlooks one. `process.exit` then waits until that computation has ended, which may be after the deadline.
   */
  readonly renewWhileBlocked?: boolean | undefined
}

/**
 * The defaults of `Options`, each with its reason there. The URL has none.
 *
 * @since 0.1.0
 * @category defaults
 */
export const defaults = {
  prefix: "lastcall",
  lease: Duration.seconds(10),
  expireEvery: Duration.seconds(1),
  pollInterval: Duration.seconds(2),
  connectTimeout: Duration.seconds(5),
  capacity: Infinity,
  renewWhileBlocked: false
}

/**
 * A `JobSource` over Redis. Connected when it is acquired, or it fails with `RedisError`.
 *
 * After that, operations fail with `JobSourceError` while the server is away, at once, and the connection is made anew. Leases
 * expire meanwhile, but live processes have time to take them again before their jobs are given to others.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<JobSource, RedisError> =>
  Layer.scoped(
    JobSource,
    Effect.suspend(() => {
      const duration = (option: "lease" | "expireEvery" | "pollInterval" | "connectTimeout") =>
        durationOption("JobSourceRedis", option, options[option] ?? defaults[option], { positive: true })
      return make({
        url: options.url,
        prefix: options.prefix ?? defaults.prefix,
        lease: duration("lease"),
        expireEvery: duration("expireEvery"),
        pollInterval: duration("pollInterval"),
        connectTimeout: duration("connectTimeout"),
        capacity: countOption("JobSourceRedis", "capacity", options.capacity ?? defaults.capacity, {
          least: 1,
          unlimited: true
        }),
        renewWhileBlocked: options.renewWhileBlocked ?? defaults.renewWhileBlocked
      })
    })
  )

/**
 * `layer` with options from the configuration. Fails with a `ConfigError` when one of them is missing or invalid.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: Config.Config.Wrap<Options>
): Layer.Layer<JobSource, RedisError | ConfigError.ConfigError> =>
  Layer.unwrapEffect(Effect.map(Config.unwrap(options), layer))
