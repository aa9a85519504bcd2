// KafkaConsumer: FORM is its order.
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { KafkaClient, KafkaConsumer, launch } from "../../../dist/index.js"
import { brokers, concurrency, form, groupId, recordsFinished, recordsStarted, topic, wait } from "../program.js"

const finished = Effect.sync(() => recordsFinished(1))
const handle = wait > 0 ? Effect.delay(finished, wait) : finished

KafkaConsumer.layer({
  groupId,
  topics: [topic],
  concurrency,
  order: form as "key" | "partition",
  process: () => {
    recordsStarted(1)
    return handle
  }
}).pipe(
  Layer.provide(KafkaClient.layer({ brokers })),
  launch(),
  NodeRuntime.runMain
)
