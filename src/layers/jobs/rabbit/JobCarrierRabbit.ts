/**
 * RabbitMQ as the carrier of jobs that are kept in the database: `JobSourceSql.layerCarried` offers it the ids of jobs,
 * and processes receive them from it.
 *
 * One durable quorum queue holds the ids of a queue of jobs: `<prefix>.<queue>`. Offers are confirmed by the broker, deliveries
 * are acknowledged one by one, and a process fetches only what it has room for, so a stop has no prefetched ids to return. Other
 * programs may add jobs by publishing their payload, as JSON, to such a queue: the property `messageId` is the id of the job.
 * Without one each delivery has an id of its own, and a process that dies at the wrong moment runs the job twice.
 *
 * The broker may lose all of its data at any time: the database has the jobs, and offers them again. RabbitMQ 3.10 or later.
 *
 * **Promised:** jobs are delivered in the order in which they were offered. It has no priorities: offers with one fail.
 *
 * **Not promised:** that an id is delivered once. RabbitMQ cannot look for an id: one that is offered again while it waits is there
 * twice, and the ledger drops the second. Or that a job which was handed back comes before those that wait: it comes after them.
 *
 * @example
 * ```ts
 * import { Config, Layer } from "effect"
 * import { Database, JobCarrierRabbit, JobSourceSql } from "lastcall"
 *
 * const Rabbit = JobCarrierRabbit.layerConfig({ url: Config.redacted("AMQP_URL") })
 *
 * export const Jobs = JobSourceSql.layerCarried().pipe(Layer.provide(Rabbit), Layer.provideMerge(Database.layerFromEnv))
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { Config, type ConfigError, Duration, Effect, Layer, type Redacted } from "effect"
import type { ConnectionOptions } from "rabbitmq-client"
import { durationOption } from "../../../core/internal/options.js"
import { JobCarrier } from "../JobCarrier.js"
import { makeCarrier } from "./internal/carrier.js"
import { RabbitError } from "./internal/connection.js"

export { RabbitError }

/**
 * Where RabbitMQ is, and how soon it delivers again.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** `amqp://user:password@host:port/vhost`, or `amqps://` for TLS. With `?heartbeat=`, in seconds, in place of 5. */
  readonly url: Redacted.Redacted
  /** More options of the connection: certificates, the nodes of a cluster. None by default. */
  readonly connection?: Pick<ConnectionOptions, "hosts" | "socket" | "tls"> | undefined
  /** How the names of the queues begin. `lastcall` by default. Carriers with different prefixes share nothing. */
  readonly prefix?: string | undefined
  /**
   * After what time a delivery that was not acknowledged is delivered again. That of a process which has died is delivered at
   * once; that of a host which has vanished after two heartbeats, 10 seconds. 5 seconds by default: longer than a claim takes on a
   * busy database.
   */
  readonly redeliverAfter?: Duration.DurationInput | undefined
  /**
   * How long a queue without jobs is left alone when no message arrives: the longest a job waits that another program
   * has added. 2 seconds by default, and up to a quarter more or less, so that processes do not poll at the same moment.
   */
  readonly pollInterval?: Duration.DurationInput | undefined
  /** How long the broker may take to accept a connection, and to answer a request. 5 seconds by default. */
  readonly requestTimeout?: Duration.DurationInput | undefined
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
  requestTimeout: Duration.seconds(5)
} as const

/**
 * A `JobCarrier` over RabbitMQ. Connected when it is acquired, or it fails with `RabbitError`.
 *
 * After that, operations fail with `JobSourceError` while the broker is away, or blocks its publishers, at once, and the connection
 * is made anew, at most a second after the last attempt. A queue that the broker has lost is made anew, too.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<JobCarrier, RabbitError> =>
  Layer.scoped(
    JobCarrier,
    Effect.suspend(() => {
      const duration = (option: "redeliverAfter" | "pollInterval" | "requestTimeout") =>
        durationOption("JobCarrierRabbit", option, options[option] ?? defaults[option], { positive: true })
      return makeCarrier({
        url: options.url,
        connection: options.connection ?? {},
        prefix: options.prefix ?? defaults.prefix,
        redeliverAfter: duration("redeliverAfter"),
        pollInterval: duration("pollInterval"),
        requestTimeout: duration("requestTimeout")
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
  options: Config.Config.Wrap<Omit<Options, "connection">>
): Layer.Layer<JobCarrier, RabbitError | ConfigError.ConfigError> =>
  Layer.unwrapEffect(Effect.map(Config.unwrap(options), layer))
