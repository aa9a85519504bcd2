// A consumer whose writes are in PostgreSQL, killed in the middle, with a mock cluster of Kafka.
import { it } from "vitest"
import { describeKafka } from "../kit/kafka.js"
import { describePostgres } from "../kit/postgres.js"
import { makeWorld } from "./kafkaTransactionalWorld.js"

describePostgres("A transactional consumer", (postgres) => {
  describeKafka("that is killed in the middle", (kafka) => {
    const { assertOnce, count, has, produce, start, stop, untilEffects } = makeWorld(kafka, postgres, 60)

    it("has written each record once, and in the order of its key, when its successor is done", async () => {
      await produce()
      const first = start()
      await has(first, 50)
      first.kill("SIGKILL")
      await first.ended
      const second = start()
      await untilEffects(count)
      await stop(second)
      await assertOnce()
    })
  })
})
