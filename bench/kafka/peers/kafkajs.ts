// kafkajs' own loops: FORM is eachMessage or eachBatch.
import { setTimeout as sleep } from "node:timers/promises"
import { Kafka } from "kafkajs"
import { brokers, concurrency, form, groupId, recordsFinished, recordsStarted, topic, wait } from "../program.js"

const handle = () => wait > 0 ? sleep(wait) : Promise.resolve()

const consumer = new Kafka({ brokers, logLevel: 0 }).consumer({ groupId })
await consumer.connect()
await consumer.subscribe({ topics: [topic], fromBeginning: true })
await consumer.run({
  partitionsConsumedConcurrently: concurrency,
  ...(form === "eachMessage"
    ? {
      eachMessage: async () => {
        recordsStarted(1)
        await handle()
        recordsFinished(1)
      }
    }
    : {
      eachBatch: async ({ batch: { messages } }) => {
        recordsStarted(messages.length)
        await handle()
        recordsFinished(messages.length)
      }
    })
})
