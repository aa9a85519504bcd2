// KafkaConsumer: FORM is its order, or "batch" for processBatch.
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { KafkaClient, KafkaConsumer, launch } from "../../../dist/index.js"
import { brokers, concurrency, form, groupId, recordsFinished, recordsStarted, topic, wait } from "../program.js"

const handled = (count: number) => {
  recordsStarted(count)
  const finished = Effect.sync(() => recordsFinished(count))
  return wait > 0 ? Effect.delay(finished, wait) : finished
}

const common = { groupId, topics: [topic], concurrency }

const Consumer = form === "batch"
  ? KafkaConsumer.layer({ ...common, processBatch: (records) => handled(records.length) })
  : KafkaConsumer.layer({ ...common, order: form as "key" | "partition", process: () => handled(1) })

Consumer.pipe(
  Layer.provide(KafkaClient.layer({ brokers })),
  launch(),
  NodeRuntime.runMain
)
