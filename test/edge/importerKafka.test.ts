// The importer with everything that it has: requests, workers, a Kafka topic, a schedule and PostgreSQL, stopped by SIGTERM in the middle.
import { Effect, Layer } from "effect"
import { execFileSync } from "node:child_process"
import { setTimeout } from "node:timers/promises"
import { assert, describe } from "vitest"
import * as KafkaClient from "../../src/layers/kafka/KafkaClient.js"
import * as KafkaProducer from "../../src/layers/kafka/KafkaProducer.js"
import { committedOffsets, describeKafka, type KafkaPlace } from "../kit/kafka.js"
import { describePostgres, type Postgres } from "../kit/postgres.js"
import { it } from "../kit/service.js"
import { poll } from "../kit/until.js"

const perPartition = 60
const rowsPerRecord = 5
const partitions = [0, 1, 2, 3]

const record = (partition: number, index: number): KafkaClient.KafkaMessage => {
  const rows = Array.from({ length: rowsPerRecord }, (_, row) => ({ place: `${partition}/${index}/${row}` }))
  return {
    partition,
    value: rows.map((row) => JSON.stringify(row)).join("\n"),
    headers: { name: `batch-${partition}-${index}` }
  }
}

const csv: KafkaClient.KafkaMessage = {
  partition: 0,
  value: "name,born\nAda,1815-12-10\nGrace,soon\n",
  headers: { name: "people.csv", "content-type": "text/csv", columns: "born:date" }
}

const unreadable: KafkaClient.KafkaMessage = { partition: 1, value: "", headers: { name: "empty" } }

const produce = ({ brokers }: KafkaPlace, messages: ReadonlyArray<KafkaClient.KafkaMessage>) =>
  Effect.runPromise(
    Effect.flatMap(KafkaProducer.KafkaProducer, ({ send }) => send("imports", messages)).pipe(
      Effect.provide(KafkaProducer.layer().pipe(Layer.provide(KafkaClient.layer({ brokers }))))
    )
  )

/** Each look is a connection, which costs more than an import. */
const pollSlowly = <A>(what: string, look: () => Promise<A | undefined>) =>
  poll(what, async () => {
    await setTimeout(250)
    return look()
  })

const count = async ({ query }: Postgres, what: string) => {
  const [row] = await query(`SELECT count(*)::int AS found FROM ${what}`)
  return (row as { readonly found: number }).found
}

describe("the importer", () => {
  describePostgres("over PostgreSQL", (postgres) => {
    describeKafka("with a topic of Kafka", (kafka) => {
      it(
        "makes each record one import, though it is stopped in the middle, and reports all of its parts",
        async ({ start }) => {
          const batches = partitions.flatMap((partition) =>
            Array.from({ length: perPartition }, (_, index) => record(partition, index))
          )
          await produce(kafka, [...batches, csv, unreadable])
          const env = { DATABASE_URL: postgres.url, KAFKA_URL: `kafka://${kafka.brokers.join(",")}/imports` }
          const first = start(env)
          await first.runs()
          const uploaded = await first.api.upload("name\nuploaded\n")
          await pollSlowly("imports of some records", async () => (await count(postgres, "imports")) > 40 || undefined)
          first.kill("SIGTERM")
          assert.deepStrictEqual(await first.ended, { code: 0, signal: null }, first.output)
          const report = first.report()
          assert.deepStrictEqual(
            report.drains.map(({ cut, name, outcome }) => `${name} ${outcome} ${cut}`).sort(),
            [
              "database Drained 0",
              "http Drained 0",
              "importer Drained 0",
              "kafka Drained 0",
              "orphan-cleanup Drained 0"
            ]
          )
          const before = await count(postgres, "imports")
          assert.isBelow(before, batches.length)
          const committed = async () =>
            (await committedOffsets(kafka, "importer", "imports")).reduce((sum, offset) => sum + Math.max(0, offset), 0)
          // Each record that was stored is committed, and so is the dead letter, if it was reached.
          assert.include([before - 1, before], await committed())

          // The mock cluster lets it in when the rebalance is over that began as the last member left, which takes 29 seconds.
          const second = start(env)
          const all = batches.length + 2
          await pollSlowly(
            "all imports",
            async () => (await count(postgres, "imports WHERE status = 'Completed'")) === all || undefined
          )
          await pollSlowly("the last commit", async () => (await committed()) === batches.length + 2 || undefined)
          second.kill("SIGTERM")
          assert.strictEqual((await second.ended).code, 0, second.output)

          assert.strictEqual(await count(postgres, "imports"), all)
          const [rows] = await postgres.query(
            "SELECT count(*)::int AS loaded, count(DISTINCT data->>'place')::int AS places FROM import_rows WHERE data ? 'place'"
          )
          const loaded = batches.length * rowsPerRecord
          assert.deepStrictEqual(rows, { loaded, places: loaded })
          const people = await postgres.query(
            "SELECT status, rows_total, rows_loaded, rows_rejected FROM imports WHERE name = 'people.csv'"
          )
          assert.deepStrictEqual(people, [{ status: "Completed", rows_total: 2, rows_loaded: 1, rows_rejected: 1 }])
          assert.strictEqual(await count(postgres, `import_rows WHERE import_id = '${uploaded.id}'`), 1)
          const dead = execFileSync(
            "kcat",
            ["-C", "-b", kafka.brokers.join(","), "-t", "imports-dead", "-e", "-q", "-f", "%h\n"],
            { encoding: "utf8", timeout: 30_000 }
          )
          assert.match(dead, /name=empty.*the file is empty/s)
          assert.strictEqual(dead.trim().split("\n").length, 1)
        },
        120_000
      )
    })
  })
})
