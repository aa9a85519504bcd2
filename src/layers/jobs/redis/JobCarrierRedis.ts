/**
 * Redis as the carrier of jobs that are kept in the database: `JobSourceSql.layerCarried` offers it the ids of jobs, and
 * processes receive them from it.
 *
 * The engine is BullMQ 6, driven command by command: none of its workers, timers or loops run. The keys are BullMQ's, so its
 * dashboards show what waits, and other programs may add jobs, which get a row in the database when they are received. A job
 * is in Redis while it waits and is due; delayed jobs, running ones and dead letters are in the database alone.
 *
 * Redis may lose all of its data at any time: the database has the jobs, and offers them again. So it needs no persistence; its
 * `maxmemory-policy` must be `noeviction` only for jobs that other programs add. One server, 6.2 or later, or its replacement
 * after a failover; no cluster.
 *
 * **Promised:** jobs are delivered in the order in which they were offered, those that were handed back before the others.
 * **Not promised:** that an id is delivered once.
 *
 * @example
 * ```ts
 * import { Config, Layer } from "effect"
 * import { Database, JobCarrierRedis, JobSourceSql } from "lastcall"
 *
 * const Redis = JobCarrierRedis.layerConfig({ url: Config.redacted("JOBS_URL") })
 *
 * export const Jobs = JobSourceSql.layerCarried().pipe(Layer.provide(Redis), Layer.provideMerge(Database.layerFromEnv))
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { Config, type ConfigError, Duration, Effect, Layer, type Redacted } from "effect"
import { durationOption } from "../../../core/internal/options.js"
import { JobCarrier } from "../JobCarrier.js"
import { makeCarrier } from "./internal/carrier.js"
import { RedisError } from "./internal/url.js"

export { RedisError }

/**
 * Where Redis is, and how soon it delivers again.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** `redis://user:password@host:port/number`, or `rediss://` for TLS. */
  readonly url: Redacted.Redacted
  /**
   * The beginning of all keys. `lastcall` by default, so that the keys are apart from those of an application's own BullMQ,
   * whose default is `bull`. Carriers with different prefixes share nothing.
   */
  readonly prefix?: string | undefined
  /**
   * After what time a delivery that was not acknowledged may be delivered again, by a process that has died between it and
   * the database. 5 seconds by default: longer than a claim takes on a busy database. Up to half as long again passes until it is
   * found.
   */
  readonly redeliverAfter?: Duration.DurationInput | undefined
  /**
   * How long a queue without jobs is left alone when no message arrives: the longest a job waits when its message was
   * lost. 2 seconds by default, and up to a quarter more or less, so that processes do not poll at the same moment.
   */
  readonly pollInterval?: Duration.DurationInput | undefined
  /**
   * How long the server may take to accept a connection, and to respond to a command. 5 seconds by default: longer than a
   * busy server takes. A server that takes longer is away, and the connection is made anew.
   */
  readonly connectTimeout?: Duration.DurationInput | undefined
}

/**
 * The defaults of `Options`, each with its reason there. The URL has none.
 *
 * @since 0.1.0
 * @category defaults
 */
export const defaults = {
  prefix: "lastcall",
  redeliverAfter: Duration.seconds(5),
  pollInterval: Duration.seconds(2),
  connectTimeout: Duration.seconds(5)
}

/**
 * A `JobCarrier` over Redis. Connected when it is acquired, or it fails with `RedisError`.
 *
 * After that, operations fail with `JobSourceError` while the server is away, at once, and the connection is made anew.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<JobCarrier, RedisError> =>
  Layer.scoped(
    JobCarrier,
    Effect.suspend(() => {
      const duration = (option: "redeliverAfter" | "pollInterval" | "connectTimeout") =>
        durationOption("JobCarrierRedis", option, options[option] ?? defaults[option], { positive: true })
      return makeCarrier({
        url: options.url,
        prefix: options.prefix ?? defaults.prefix,
        redeliverAfter: duration("redeliverAfter"),
        pollInterval: duration("pollInterval"),
        connectTimeout: duration("connectTimeout")
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
): Layer.Layer<JobCarrier, RedisError | ConfigError.ConfigError> =>
  Layer.unwrapEffect(Effect.map(Config.unwrap(options), layer))
