/**
 * `KAFKA_URL`: the brokers and the topic from which imports are taken.
 */
import { Config, ConfigError, Either, Option, Redacted } from "effect"
import type * as KafkaClient from "../../layers/kafka/KafkaClient.js"

export interface KafkaPlace {
  readonly client: KafkaClient.Options
  readonly topic: string
}

const pattern =
  /^kafka(?<ssl>\+ssl)?:\/\/(?:(?<username>[^:@/]+):(?<password>[^@/]+)@)?(?<brokers>[^@/?]+)(?:\/(?<topic>[\w.-]{0,249}))?$/i

const isBroker = (broker: string) => /^[\w.-]+:\d{1,5}$/.test(broker)

const decode = (text: string) => Option.liftThrowable(decodeURIComponent)(text)

export const parseKafkaUrl = (url: string): Option.Option<KafkaPlace> =>
  Option.gen(function*() {
    const { groups } = yield* Option.fromNullable(pattern.exec(url.trim()))
    const { brokers: list, password, ssl, topic, username } = groups!
    const brokers = list!.split(",")
    if (!brokers.every(isBroker)) return yield* Option.none()
    const sasl = username === undefined || password === undefined ? undefined : {
      mechanism: "plain" as const,
      username: yield* decode(username),
      password: Redacted.make(yield* decode(password))
    }
    return { client: { brokers, ssl: ssl !== undefined, sasl }, topic: topic || "imports" }
  })

/** None without the variable. The error does not repeat the value, which may contain a password. */
export const kafkaUrl = Config.option(
  Config.string("KAFKA_URL").pipe(Config.mapOrFail((url) =>
    Either.fromOption(
      parseKafkaUrl(url),
      () =>
        ConfigError.InvalidData(
          [],
          "Expected kafka://user:password@host:port,host:port/topic, or kafka+ssl:// for TLS; user, password and topic may be left out"
        )
    )
  ))
)
