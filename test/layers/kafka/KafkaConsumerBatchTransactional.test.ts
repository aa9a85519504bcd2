import { SqlClient } from "@effect/sql"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as KafkaConsumer from "../../../src/layers/kafka/KafkaConsumer.js"
import * as TestApp from "../../../src/testing/TestApp.js"
import { openDatabase } from "../../kit/database.js"
import { describePostgres } from "../../kit/postgres.js"
import { eventually } from "../../kit/until.js"
import { valueOf } from "./consumerWorld.js"
import { makeMemoryKafka, topic } from "./memoryKafka.js"

type Write = Effect.Effect<unknown, unknown>

describePostgres("A transactional consumer with processBatch", (postgres) => {
  /** A member that gets four records. The process is given their names, and the transaction that writes them. */
  const makeMember = (process: (names: string, write: Write) => Effect.Effect<unknown, unknown>) =>
    Effect.gen(function*() {
      const { sql } = yield* openDatabase(postgres.url)
      yield* Effect.orDie(sql`DROP TABLE IF EXISTS effects, lastcall_kafka_partitions, lastcall_kafka_records`)
      yield* Effect.orDie(sql`CREATE TABLE effects (value text)`)
      const batches: Array<string> = []
      const kafka = yield* makeMemoryKafka()
      kafka.append(0, ["a", "b", "c", "d"].map((value) => [null, value] as const))
      const member = Effect.gen(function*() {
        const app = yield* Effect.orDie(TestApp.start(
          KafkaConsumer.layerTransactional({
            groupId: "group",
            topics: [topic],
            concurrency: 10,
            deadLetterTopic: "dead",
            processBatch: (records, { transact }) => {
              const names = records.map(valueOf).join("")
              batches.push(names)
              return process(
                names,
                transact(sql`INSERT INTO effects ${sql.insert(records.map((record) => ({ value: valueOf(record) })))}`)
              )
            }
          }).pipe(Layer.provide(kafka.layer), Layer.provide(Layer.succeed(SqlClient.SqlClient, sql)))
        ))
        yield* kafka.rebalance([0])
        yield* eventually("the partition is open", Effect.sync(() => kafka.log.includes("resume 0")))
        yield* kafka.poll
        return app
      })
      const rows = (query: TemplateStringsArray) => Effect.orDie(sql(query).values)
      return {
        kafka,
        batches,
        sql,
        app: yield* member,
        effects: Effect.map(rows`SELECT value FROM effects ORDER BY value`, (rows) => rows.flat()),
        attempts: rows`SELECT "offset", attempts, done FROM lastcall_kafka_records ORDER BY "offset"`
      }
    })

  it.scoped("writes a batch and the end of its records in one transaction", () =>
    Effect.gen(function*() {
      const { attempts, batches, effects } = yield* makeMember((_, write) => Effect.zipRight(write, Effect.never))
      yield* eventually("the batch is written", effects, ({ length }) => length === 4)
      assert.deepStrictEqual(batches, ["abcd"])
      assert.deepStrictEqual(yield* attempts, ["0", "1", "2", "3"].map((offset) => [offset, 1, true]))
    }))

  it.scoped("writes each record once when a batch fails after its transaction", () =>
    Effect.gen(function*() {
      const { app, batches, effects } = yield* makeMember((names, write) =>
        names.length > 1 ? Effect.zipRight(write, Effect.fail("no")) : write
      )
      yield* eventually("each has run alone", Effect.sync(() => batches.length === 5))
      yield* app.signal("SIGTERM")
      yield* app.report
      assert.deepStrictEqual(batches, ["abcd", "a", "b", "c", "d"])
      assert.deepStrictEqual(yield* effects, ["a", "b", "c", "d"])
    }))

  it.scoped("runs those before the record of a BatchError again, because nothing was committed", () =>
    Effect.gen(function*() {
      const { app, batches, effects } = yield* makeMember((names, write) =>
        names === "abcd" ? new KafkaConsumer.BatchError({ offset: 1n, error: "no" }) : write
      )
      yield* eventually("each is written", effects, ({ length }) => length === 4)
      yield* app.signal("SIGTERM")
      yield* app.report
      assert.deepStrictEqual(batches, ["abcd", "a", "b", "cd"])
    }))
})
