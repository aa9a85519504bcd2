import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import type { ShutdownReport } from "../../../src/core/ShutdownReport.js"
import * as KafkaProducer from "../../../src/layers/kafka/KafkaProducer.js"
import * as TestApp from "../../../src/testing/TestApp.js"
import { makeMemoryKafka } from "./memoryKafka.js"

const send = (value: string) =>
  Effect.flatMap(KafkaProducer.KafkaProducer, (producer) => producer.send("topic", [{ value }]))

const counts = ({ drains }: ShutdownReport) =>
  drains.map(({ cut, finished, name, outcome, reason }) => ({ name, outcome, finished, cut, reason }))

describe("A Kafka producer", () => {
  it.scoped("is released once what was sent is acknowledged, also for a caller that has gone", () =>
    Effect.gen(function*() {
      const kafka = yield* makeMemoryKafka()
      yield* kafka.gate.close
      // Interrupted before the producer is released.
      const sender = Layer.scopedDiscard(Effect.forkScoped(send("a")))
      const app = yield* TestApp.start(
        sender.pipe(Layer.provide(KafkaProducer.layer()), Layer.provide(kafka.layer))
      )
      yield* app.signal("SIGTERM")
      yield* app.until("kafka producer", "draining")
      yield* kafka.gate.open
      const report = yield* app.report
      assert.deepStrictEqual(kafka.sent.map(([topic, { value }]) => [topic, value]), [["topic", "a"]])
      assert.deepStrictEqual(counts(report), [
        { name: "kafka producer", outcome: "Drained", finished: 1, cut: 0, reason: undefined }
      ])
    }))

  it.scoped("reports what was not acknowledged within drainTimeout", () =>
    Effect.gen(function*() {
      const kafka = yield* makeMemoryKafka()
      yield* kafka.gate.close
      const sender = Layer.scopedDiscard(Effect.forkScoped(send("a")))
      const app = yield* TestApp.start(
        sender.pipe(Layer.provide(KafkaProducer.layer({ drainTimeout: "2 seconds" })), Layer.provide(kafka.layer))
      )
      yield* app.signal("SIGTERM")
      const report = yield* app.report
      assert.deepStrictEqual(counts(report), [{
        name: "kafka producer",
        outcome: "Interrupted",
        finished: 0,
        cut: 1,
        reason: "drain not done within 2s (1 to topic)"
      }])
      assert.strictEqual(report.exitCode, 1)
    }))

  it.scoped("refuses what is sent after its release", () =>
    Effect.gen(function*() {
      const kafka = yield* makeMemoryKafka()
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(KafkaProducer.layer().pipe(Layer.provide(kafka.layer)), scope)
      yield* Scope.close(scope, Exit.void)
      const error = yield* Effect.flip(Effect.provide(send("a"), context))
      assert.strictEqual(error.message, "Kafka: send failed: the producer has ended")
    }))
})
