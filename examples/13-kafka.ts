// A Kafka consumer group: on SIGTERM it fetches nothing more, finishes the records in flight, commits and leaves the group.
//
// Run it:   KAFKA_BROKERS=localhost:9092 node --import tsx --conditions=@lastcall/source examples/13-kafka.ts
// Press:    Ctrl+C
// Prints:   a line for each order, then the report
// Needs:    Kafka: docker run -p 9092:9092 apache/kafka
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer, Schedule } from "effect"
import { KafkaClient, KafkaConsumer, KafkaProducer, launch } from "lastcall"

const Payments = KafkaConsumer.layer({
  groupId: "payments",
  topics: ["orders"],
  concurrency: 20,
  order: "key", // the orders of one customer run one after the other
  deadLetterTopic: "orders-dead",
  drainTimeout: "10 seconds",
  process: ({ key, offset, partition }) =>
    Effect.log(`paid for order ${partition}@${offset} of ${key}`).pipe(Effect.delay("1 second"))
})

const placeOrders = Effect.gen(function*() {
  const producer = yield* KafkaProducer.KafkaProducer
  const order = producer.send("orders", [{ key: "ada", value: "tea" }, { key: "bob", value: "coffee" }])
  yield* Effect.repeat(order, Schedule.spaced("1 second"))
})
const Customers = Layer.scopedDiscard(Effect.forkScoped(placeOrders))

const Client = KafkaClient.layerConfig({ brokers: Config.array(Config.string(), "KAFKA_BROKERS") })

const App = Layer.merge(Payments, Customers).pipe(Layer.provide(KafkaProducer.layer()), Layer.provide(Client))

App.pipe(launch(), NodeRuntime.runMain)
