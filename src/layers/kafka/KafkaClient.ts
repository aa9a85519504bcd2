/**
 * The Kafka client behind `KafkaConsumer` and `KafkaProducer`.
 *
 * `layer` connects with kafkajs 2, which must be installed. `fromKafka` takes an instance of its class `Kafka` that the
 * application configured. Anything else that implements `Service` can stand behind the Tag, such as another driver, or a
 * group in memory for tests.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { KafkaClient, KafkaConsumer } from "lastcall"
 *
 * const Payments = KafkaConsumer.layer({
 *   groupId: "payments",
 *   topics: ["orders"],
 *   concurrency: 10,
 *   process: ({ offset, value }) => Effect.log(`order ${offset}: ${value}`)
 * })
 *
 * export const Live = Payments.pipe(Layer.provide(KafkaClient.layer({ brokers: ["localhost:9092"] })))
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { Config, type ConfigError, Effect, Layer, Redacted } from "effect"
import { KafkaClient } from "./contract.js"
import type { DriverKafka } from "./internal/driver.js"
import { fromConfig, fromKafka as makeFromKafka } from "./internal/kafkajs.js"

export type {
  Batch,
  KafkaHeaders,
  KafkaMessage,
  KafkaRecord,
  Member,
  MemberEvents,
  MemberSettings,
  ProducerConnection,
  ProducerSettings,
  Service,
  TopicOffset,
  TopicPartition
} from "./contract.js"
export { KafkaClient, KafkaError } from "./contract.js"

/**
 * Where the brokers are, and as whom to connect.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Some of the brokers, each as `host:port`. The others are found through them. */
  readonly brokers: ReadonlyArray<string>
  /** How the brokers name this program in their logs and quotas. `lastcall` by default. */
  readonly clientId?: string | undefined
  /** Whether the connections use TLS. Off by default. For certificates of your own use `fromKafka`. */
  readonly ssl?: boolean | undefined
  /** The user. None by default. For other mechanisms use `fromKafka`. */
  readonly sasl?: {
    /** The mechanism of the brokers. */
    readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512"
    /** The name of the user. */
    readonly username: string
    /** The password of the user. */
    readonly password: Redacted.Redacted
  } | undefined
}

/**
 * A client by kafkajs. It connects when a consumer or a producer is acquired. The log of kafkajs is at the level `Debug`,
 * because it logs as an error what it tries again. A defect when kafkajs is not installed.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<KafkaClient> =>
  Layer.effect(
    KafkaClient,
    fromConfig({
      brokers: [...options.brokers],
      clientId: options.clientId ?? "lastcall",
      ssl: options.ssl ?? false,
      ...(options.sasl === undefined
        ? {}
        : { sasl: { ...options.sasl, password: Redacted.value(options.sasl.password) } })
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
): Layer.Layer<KafkaClient, ConfigError.ConfigError> => Layer.unwrapEffect(Effect.map(Config.unwrap(options), layer))

/**
 * An instance of the class `Kafka` of kafkajs 2. The types of the package are not needed here.
 *
 * @since 0.1.0
 * @category models
 */
export interface KafkaJs {
  /** Makes a consumer. */
  consumer(config: never): object
  /** Makes a producer. */
  producer(config: never): object
}

/**
 * A client over an instance of the class `Kafka` of kafkajs, for settings that `layer` does not have.
 *
 * @example
 * ```ts
 * import { KafkaClient } from "lastcall"
 *
 * declare const kafka: KafkaClient.KafkaJs // new Kafka({ brokers, ssl: { ca } }) of kafkajs
 *
 * const Client = KafkaClient.fromKafka(kafka)
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const fromKafka = (kafka: KafkaJs): Layer.Layer<KafkaClient> =>
  Layer.succeed(KafkaClient, makeFromKafka(kafka as DriverKafka))
