/**
 * Sends records to Kafka, and says at shutdown what was not acknowledged.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { KafkaClient, KafkaProducer } from "lastcall"
 *
 * const program = Effect.gen(function*() {
 *   const producer = yield* KafkaProducer.KafkaProducer
 *   yield* producer.send("orders", [{ key: "ada", value: JSON.stringify({ item: "tea" }) }])
 * })
 *
 * export const Live = Layer.effectDiscard(program).pipe(
 *   Layer.provide(KafkaProducer.layer()),
 *   Layer.provide(KafkaClient.layer({ brokers: ["localhost:9092"] }))
 * )
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { Context, Effect, Fiber, Layer } from "effect"
import * as Drain from "../../core/Drain.js"
import { makeInFlight } from "../../core/internal/inFlight.js"
import type { BudgetError } from "../../core/ShutdownConfig.js"
import { KafkaClient, KafkaError, type KafkaMessage } from "./contract.js"

/**
 * The service behind the `KafkaProducer` tag.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * Sends records to a topic. Succeeds when all in-sync replicas have them. Fails with `KafkaError` when that is not known:
   * then some of the records may be there. A caller that is interrupted no longer waits, and the records are sent
   * nevertheless.
   */
  readonly send: (topic: string, messages: ReadonlyArray<KafkaMessage>) => Effect.Effect<void, KafkaError>
}

/**
 * The producer of the application.
 *
 * @since 0.1.0
 * @category tags
 */
export class KafkaProducer extends Context.Tag("lastcall/KafkaProducer")<KafkaProducer, Service>() {}

/**
 * The settings of a producer. All of them have defaults.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Drain.Timeouts {
  /** The name of the producer in logs and in the report. `kafka producer` by default. */
  readonly name?: string | undefined
  /**
   * Whether the broker drops what a retry of the driver sends a second time. `false` by default: kafkajs calls it
   * experimental, sends one request at a time with it, and needs a cluster that names its controller.
   */
  readonly idempotent?: boolean | undefined
}

/**
 * A producer that is drained after everything that uses it was released: what was sent is acknowledged within
 * `drainTimeout`, or counts as cut. The unit of the report is a call of `send`.
 *
 * **Errors.** `KafkaError` when no broker can be reached, `BudgetError` when the budget of `launch` can never hold a timeout.
 *
 * **Promised:** a send that succeeded is stored. **Not promised:** that a send that failed, or was cut, is not. Records that
 * must be sent exactly when a transaction commits belong into a job over `JobSourceSql`, offered in it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<KafkaProducer, KafkaError | BudgetError, KafkaClient> =>
  Layer.scoped(
    KafkaProducer,
    Effect.gen(function*() {
      const { idempotent = false, name = "kafka producer", ...timeouts } = options
      const client = yield* KafkaClient
      const connection = yield* client.producer({ idempotent })
      const sends = yield* makeInFlight<{ readonly topic: string; readonly count: number }>()
      const counts = { finished: 0, cut: 0 }
      let open = true
      const closed = new KafkaError({
        operation: "send",
        reason: "Unavailable",
        cause: new Error("the producer has ended")
      })
      yield* Drain.acquire({
        ...timeouts,
        name,
        acquire: Effect.void,
        quiesce: () =>
          Effect.sync(() => {
            open = false
          }),
        drain: () => sends.awaitEmpty,
        interrupt: () =>
          Effect.suspend(() => {
            counts.cut += sends.size()
            return sends.interruptAll
          }),
        progress: () => ({ inFlight: sends.size(), finished: counts.finished, handedBack: 0, cut: counts.cut }),
        names: () => sends.units().map(({ data: { count, topic } }) => `${count} to ${topic}`)
      })
      const acknowledged = Effect.sync(() => {
        counts.finished++
      })
      return {
        send: (topic, messages) =>
          Effect.suspend(() =>
            open
              ? Effect.flatMap(
                sends.fork(
                  { topic, count: messages.length },
                  Effect.zipLeft(Effect.interruptible(connection.send(topic, messages)), acknowledged)
                ),
                Fiber.join
              )
              : closed
          )
      }
    })
  )
