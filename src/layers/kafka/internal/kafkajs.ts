import { Duration, Effect, Runtime } from "effect"
import { bounded } from "../../../core/internal/bounded.js"
import { optionalPeers, rethrow } from "../../../core/internal/optionalPeers.js"
import type { KafkaMessage, Service } from "../contract.js"
import type { Driver, DriverConfig, DriverHeaders, DriverKafka } from "./driver.js"
import { attempt } from "./kafkajsErrors.js"
import { makeMember } from "./kafkajsMember.js"

/** The assertion hides the specifier from TypeScript, which needs no types of the peer, and not from bundlers. */
const kafkajs = () => (import("kafkajs" as string) as Promise<{ readonly default: Driver }>).catch(rethrow)

const driver: Effect.Effect<Driver> = Effect.map(
  optionalPeers("KafkaClient", { kafkajs }),
  ({ kafkajs }) => kafkajs.default
)

/** How long a producer, which has nothing to send any more, has for closing its sockets. */
const disconnectTimeout = Duration.seconds(2)

const toBuffer = (bytes: Uint8Array | string): Buffer | string =>
  typeof bytes === "string" ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const toHeaders = (headers: KafkaMessage["headers"] = {}): DriverHeaders =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      value === undefined
        ? undefined
        : typeof value === "string" || value instanceof Uint8Array
        ? toBuffer(value)
        : value.map(toBuffer)
    ])
  )

/** The client over an instance of `Kafka`. */
export const fromKafka = (kafka: DriverKafka): Service => ({
  member: (settings) => Effect.flatMap(driver, (driver) => makeMember(kafka, driver, settings)),
  producer: ({ idempotent }) =>
    Effect.gen(function*() {
      const producer = kafka.producer(idempotent ? { idempotent, maxInFlightRequests: 1 } : { idempotent })
      yield* Effect.acquireRelease(
        attempt("connect", () => producer.connect()),
        () => bounded({ within: disconnectTimeout })(attempt("leave", () => producer.disconnect()))
      )
      return {
        send: (topic, messages) =>
          Effect.asVoid(attempt("send", () =>
            producer.send({
              topic,
              acks: -1,
              messages: messages.map(({ headers, key, partition, value }) => ({
                key: key === undefined || key === null ? null : toBuffer(key),
                value: value === null ? null : toBuffer(value),
                headers: toHeaders(headers),
                ...(partition === undefined ? {} : { partition })
              }))
            })))
      }
    })
})

/** kafkajs logs what it is about to try again as an error. What it gives up is a failure of ours. */
const warnings = 2

/** The client over an instance that is made here. Its log is at the level `Debug`. */
export const fromConfig = (config: Omit<DriverConfig, "logCreator" | "logLevel">): Effect.Effect<Service> =>
  Effect.gen(function*() {
    const { Kafka } = yield* driver
    const log = Runtime.runFork(yield* Effect.runtime<never>())
    return fromKafka(
      new Kafka({
        ...config,
        logLevel: warnings,
        logCreator: () => ({ log: { message }, namespace }) =>
          void log(Effect.logDebug(`kafkajs ${namespace}: ${message}`))
      })
    )
  })
