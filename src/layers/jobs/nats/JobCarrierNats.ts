/**
 * NATS JetStream as the carrier of jobs that are kept in the database: `JobSourceSql.layerCarried` offers it the ids of jobs,
 * and processes receive them from it.
 *
 * One stream holds the ids, one subject for each: `<prefix>.<queue>.<id>`, so that an id which is held is not held twice. The
 * processes of a queue share one durable consumer. Other programs may add jobs by publishing their payload, as JSON, to such
 * a subject: the last token is the id of the job. A job is in the stream while it waits and is due; delayed jobs, running
 * ones and dead letters are in the database alone.
 *
 * The stream may lose all of its data at any time: the database has the jobs, and offers them again. nats-server 2.9 or later.
 *
 * **Promised:** jobs are delivered in the order in which they were offered. It has no priorities: offers with one fail.
 *
 * **Not promised:** that an id is delivered once,
 * or that a job which was handed back comes before those that wait: it comes after them.
 *
 * @example
 * ```ts
 * import { Config, Layer } from "effect"
 * import { Database, JobCarrierNats, JobSourceSql } from "lastcall"
 *
 * const Nats = JobCarrierNats.layerConfig({ url: Config.redacted("NATS_URL") })
 *
 * export const Jobs = JobSourceSql.layerCarried().pipe(Layer.provide(Nats), Layer.provideMerge(Database.layerFromEnv))
 * ```
 *
 * @module
 * @since 0.1.0
 */
import type { NodeConnectionOptions } from "@nats-io/transport-node"
import { Config, type ConfigError, Duration, Effect, Layer, type Redacted } from "effect"
import { durationOption } from "../../../core/internal/options.js"
import { JobCarrier } from "../JobCarrier.js"
import { makeCarrier } from "./internal/carrier.js"
import { NatsError } from "./internal/connection.js"

export { NatsError }

/**
 * Where NATS is, and how soon it delivers again.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** `nats://user:password@host:port`, or `tls://` for TLS. */
  readonly url: Redacted.Redacted
  /** More options of the connection: other ways to authenticate, certificates. None by default. */
  readonly connection?: Omit<NodeConnectionOptions, "servers" | "timeout"> | undefined
  /**
   * The name of the stream, and the first token of its subjects: letters, digits, `_` and `-`. `lastcall` by default. Carriers
   * with different prefixes share nothing.
   */
  readonly prefix?: string | undefined
  /**
   * Where a new stream keeps its messages. `"file"` by default, for the jobs that other programs add; without any, `"memory"`
   * is as safe.
   */
  readonly storage?: "file" | "memory" | undefined
  /** In how many servers of a cluster a new stream is kept. 1 by default: the database has the jobs. */
  readonly replicas?: number | undefined
  /**
   * After what time a delivery that was not acknowledged is delivered again, by a process that has died between it and the
   * database. 5 seconds by default: longer than a claim takes on a busy database.
   */
  readonly redeliverAfter?: Duration.DurationInput | undefined
  /**
   * How long a queue without jobs is left alone when no message arrives: the longest a job waits when its message was
   * lost. 2 seconds by default, and up to a quarter more or less, so that processes do not poll at the same moment.
   */
  readonly pollInterval?: Duration.DurationInput | undefined
  /** How long the server may take to accept a connection, and to answer a request. 5 seconds by default. */
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
  storage: "file",
  replicas: 1,
  redeliverAfter: Duration.seconds(5),
  pollInterval: Duration.seconds(2),
  requestTimeout: Duration.seconds(5)
} as const

/**
 * A `JobCarrier` over NATS JetStream. Connected when it is acquired, or it fails with `NatsError`.
 *
 * After that, operations fail with `JobSourceError` while the server is away, at once, and the connection is made anew. A
 * stream or consumer that the server has lost is made anew, too.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<JobCarrier, NatsError> =>
  Layer.scoped(
    JobCarrier,
    Effect.suspend(() => {
      const duration = (option: "redeliverAfter" | "pollInterval" | "requestTimeout") =>
        durationOption("JobCarrierNats", option, options[option] ?? defaults[option], { positive: true })
      const { connection = {}, prefix = defaults.prefix } = options
      if (!/^[\w-]+$/.test(prefix)) {
        return Effect.dieMessage(`JobCarrierNats: prefix is ${prefix}, and must be letters, digits, "_" and "-"`)
      }
      return makeCarrier({
        url: options.url,
        connection,
        prefix,
        stream: { storage: options.storage ?? defaults.storage, num_replicas: options.replicas ?? defaults.replicas },
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
): Layer.Layer<JobCarrier, NatsError | ConfigError.ConfigError> =>
  Layer.unwrapEffect(Effect.map(Config.unwrap(options), layer))
