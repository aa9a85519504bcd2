import { Effect, Layer, type Scope } from "effect"
import type { ShutdownReport } from "../../../src/core/ShutdownReport.js"
import type { KafkaRecord } from "../../../src/layers/kafka/KafkaClient.js"
import * as KafkaConsumer from "../../../src/layers/kafka/KafkaConsumer.js"
import * as Journal from "../../../src/testing/Journal.js"
import * as TestApp from "../../../src/testing/TestApp.js"
import { until } from "../../kit/until.js"
import { makeMemoryKafka, topic } from "./memoryKafka.js"

export const valueOf = ({ value }: KafkaRecord): string => Buffer.from(value!).toString()

type Options<E> =
  | Partial<KafkaConsumer.Options<E, never>> & Pick<KafkaConsumer.Options<E, never>, "process">
  | Partial<KafkaConsumer.BatchOptions<E, never>> & Pick<KafkaConsumer.BatchOptions<E, never>, "processBatch">

/** The counts of the consumer in the report. */
export const drained = ({ drains }: ShutdownReport) =>
  drains.filter(({ name }) => name === "group").map(({ cut, finished, handedBack, outcome }) => ({
    outcome,
    finished,
    handedBack,
    cut
  }))

/** A consumer in a service, in virtual time, over a group in memory. Records wait for their latch, by value. */
export const makeWorld = Effect.gen(function*() {
  const kafka = yield* makeMemoryKafka()
  const journal = yield* Journal.make
  const latches = new Map<string, Effect.Latch>()
  const latch = (value: string) => {
    const found = latches.get(value) ?? Effect.unsafeMakeLatch(false)
    latches.set(value, found)
    return found
  }
  return {
    kafka,
    latch,
    note: journal.note,
    lines: journal.lines,
    /** Notes a record when it starts and when it ends, which is when the test says so. */
    gated: (record: KafkaRecord) => {
      const value = valueOf(record)
      return journal.note(`${value} starts`).pipe(
        Effect.zipRight(latch(value).await),
        Effect.zipRight(journal.note(`${value} ends`)),
        Effect.onInterrupt(() => journal.note(`${value} is interrupted`))
      )
    },
    finish: (...values: ReadonlyArray<string>) =>
      Effect.forEach(values, (value) => latch(value).open, { discard: true }),
    /** Every fiber runs until it waits. */
    settled: Effect.repeatN(Effect.yieldNow(), 200),
    logged: (line: string) => until(`the log has ${line}`, Effect.sync(() => kafka.log), (log) => log.includes(line)),
    start: <E>(
      options: Options<E>,
      assigned: ReadonlyArray<number> = [0]
    ): Effect.Effect<TestApp.TestApp, never, Scope.Scope> =>
      Effect.gen(function*() {
        const app = yield* Effect.orDie(TestApp.start(
          KafkaConsumer.layer({ groupId: "group", topics: [topic], concurrency: 10, ...options }).pipe(
            Layer.provide(kafka.layer)
          )
        ))
        yield* kafka.rebalance(assigned)
        return app
      })
  }
})
