// Consumers whose writes are in PostgreSQL: frozen and woken, and killed by what they read. With a mock cluster of Kafka.
import { assert, it } from "vitest"
import { describeKafka } from "../kit/kafka.js"
import { describePostgres } from "../kit/postgres.js"
import { makeWorld, nameOf } from "./kafkaTransactionalWorld.js"

describePostgres("A transactional consumer", (postgres) => {
  describeKafka("that is frozen until another one has its partitions", (kafka) => {
    const { assertOnce, count, has, produce, start, stop, untilEffects } = makeWorld(kafka, postgres, 60)

    it("writes nothing of theirs when it goes on: each record is there once", async () => {
      await produce()
      const first = start()
      await has(first, 50)
      first.kill("SIGSTOP")
      const second = start()
      await has(second, 20)
      first.kill("SIGCONT")
      await first.waitFor(/the membership in group edge is lost/)
      await untilEffects(count)
      first.kill("SIGKILL")
      await stop(second)
      await assertOnce()
    })
  })
})

describePostgres("A record that kills the process", (postgres) => {
  describeKafka("of a transactional consumer", (kafka) => {
    const { assertOnce, count, produce, start, stop, untilEffects } = makeWorld(kafka, postgres, 60)

    it("is a dead letter after three processes, and no other record is", async () => {
      const poison = { partition: 2, offset: 10 }
      await produce((partition, offset) => partition === 2 && offset === 10 ? "poison" : "good")
      for (let death = 1; death <= 3; death++) {
        const { signal } = await start().ended
        assert.strictEqual(signal, "SIGKILL")
      }
      const last = start()
      await untilEffects(count - 1)
      await last.waitFor(/becomes a dead letter/)
      await stop(last)
      assert.include(last.output, "3 processes ended while they processed the record")
      await assertOnce(nameOf(poison))
    })
  })
})
