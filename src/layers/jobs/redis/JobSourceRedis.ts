/**
 * Jobs in Redis: as quick as it gets, and at least once.
 *
 * The engine is BullMQ 6, driven command by command: none of its workers, timers or loops run. Its keys are BullMQ's, so
 * its dashboards show the queues, and others may put jobs into them.
 *
 * - A job belongs to a claim as long as its lock is renewed. Every claim has a lock of its own, and whatever settles the
 *   job names it.
 * - A hand-back spends no attempt, a failure and the death of a process spend one. The pool alone gives a job up.
 * - Peers are woken by a message; where messages are lost, polling makes up for it. Jobs that others put in are found
 *   by polling.
 *
 * **At least once.** Redis and the database share no transaction: what `complete` and `checkpoint` write is written
 * before the job is settled, and when the process dies between the two, or has lost the job meanwhile, it is written
 * again by the next run. Either the writes are `Database.once(job.id, ...)`, with the job's id as their idempotency key,
 * or `JobSourceOutbox` keeps the jobs in the database, and then all of them are written once. Nor is a job offered in a
 * transaction held back until its commit, except by the outbox.
 *
 * Redis keeps what it was told to keep: with its defaults a crash costs up to minutes of jobs, with `appendonly yes` a
 * second, with `appendfsync always` none. Its `maxmemory-policy` must be `noeviction`. One server, 6.2 or later, or what
 * takes its place when it fails; no cluster.
 *
 * @since 0.1.0
 */
import { type Config, type ConfigError, Duration, Effect, Layer, type Redacted } from "effect"
import { JobSource } from "../JobSource.js"
import { make } from "./internal/source.js"
import { RedisError } from "./internal/url.js"

export {
  /**
   * Why Redis could not be connected to. The message is for people, names the place and never a password.
   *
   * @since 0.1.0
   * @category errors
   */
  RedisError
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** `redis://user:password@host:port/number`, or `rediss://` for TLS. */
  readonly url: Redacted.Redacted
  /**
   * What the keys of the queues begin with, `lastcall` by default. Sources with different prefixes know nothing of each
   * other. BullMQ's own default is `bull`.
   */
  readonly prefix?: string | undefined
  /**
   * How long the lease of a job lasts without being renewed. 10 seconds by default, so that the job of a dead process is
   * available again within 15. It is renewed four times as often. A queue may have a longer one of its own.
   */
  readonly lease?: Duration.DurationInput | undefined
  /** How often the leases of the dead are looked for. A second by default; one process does it at a time. */
  readonly expireEvery?: Duration.DurationInput | undefined
  /**
   * How long a queue without jobs is left alone when nobody says that there are some: the longest a job waits when a
   * message was lost. 2 seconds by default, a quarter more or less.
   */
  readonly pollInterval?: Duration.DurationInput | undefined
  /**
   * How long a server may take to accept a connection, and later to answer. 5 seconds by default. One that takes longer
   * is away, and connected to anew.
   */
  readonly connectTimeout?: Duration.DurationInput | undefined
}

/**
 * Jobs in the Redis that the options name. Connected when acquired, or `RedisError`. When the server goes away later,
 * what is asked of it fails at once with `JobSourceError`, and the connection is made anew. Locks run out meanwhile, but
 * whoever still runs their jobs has the time to take them again before the jobs are given to others.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<JobSource, RedisError> =>
  Layer.scoped(
    JobSource,
    Effect.suspend(() =>
      make({
        url: options.url,
        prefix: options.prefix ?? "lastcall",
        lease: Duration.decode(options.lease ?? "10 seconds"),
        expireEvery: Duration.decode(options.expireEvery ?? "1 second"),
        pollInterval: Duration.decode(options.pollInterval ?? "2 seconds"),
        connectTimeout: Duration.decode(options.connectTimeout ?? "5 seconds")
      })
    )
  )

/**
 * `layer` by options from the configuration.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: Config.Config<Options>
): Layer.Layer<JobSource, RedisError | ConfigError.ConfigError> => Layer.unwrapEffect(Effect.map(options, layer))
