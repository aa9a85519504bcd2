import { afterAll, beforeAll, describe } from "vitest"
import { cannot } from "./cannot.js"
import { committedOffsets, hasKafka, type KafkaPlace, ThrowawayKafka } from "./kafkaServer.js"

export { committedOffsets, type KafkaPlace }

/** `describe` over a mock cluster that is started for this file and removed after it. */
export const describeKafka = (name: string, body: (kafka: KafkaPlace) => void): void => {
  if (!hasKafka()) return cannot(name, "there is no mock cluster of Kafka here: install kcat")
  describe(name, () => {
    const server = new ThrowawayKafka()
    beforeAll(server.create, 60_000)
    afterAll(server.remove, 60_000)
    body(server)
  })
}
