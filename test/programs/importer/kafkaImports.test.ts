import { SqlClient } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Layer, Option, Redacted } from "effect"
import * as Database from "../../../src/layers/database/Database.js"
import * as JobSourceSql from "../../../src/layers/jobs/sql/JobSourceSql.js"
import type { KafkaRecord } from "../../../src/layers/kafka/KafkaClient.js"
import { Importer } from "../../../src/programs/importer/Domain.js"
import { store } from "../../../src/programs/importer/kafkaImports.js"
import { parseKafkaUrl } from "../../../src/programs/importer/kafkaUrl.js"
import { migrations } from "../../../src/programs/importer/migrations.js"
import { Uploads } from "../../../src/programs/importer/store/Uploads.js"
import { databaseFolder } from "../../kit/pglite.js"

const record = (value: string | null, rest: Partial<KafkaRecord> = {}): KafkaRecord => ({
  topic: "imports",
  partition: 3,
  offset: 7n,
  key: null,
  value: value === null ? null : Buffer.from(value),
  timestamp: 1_700_000_000_000,
  headers: {},
  ...rest
})

/** The stores of the importer, and a queue that nobody runs. */
const Stores = Layer.unwrapEffect(Effect.map(
  Effect.promise(() => databaseFolder()),
  (folder) =>
    Uploads.Default.pipe(
      Layer.provide(Importer.layerClient()),
      Layer.provide(JobSourceSql.layer()),
      Layer.provide(Database.migrations(migrations)),
      Layer.provideMerge(Database.layer({ url: Redacted.make(`pglite:${folder}`) }))
    )
))

const imports = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql`SELECT name, format, status, rows_total FROM imports ORDER BY created_at`
)

describe("imports from Kafka", () => {
  it.live("a record that is delivered again is the import that it became before", () =>
    Effect.gen(function*() {
      const rows = record(`{"n":1}\n{"n":2}`)
      yield* store(rows)
      yield* store(rows)
      yield* Effect.all([store(record(`{"n":3}`, { offset: 8n })), store(record(`{"n":3}`, { offset: 8n }))], {
        concurrency: 2
      })
      assert.deepStrictEqual(yield* imports, [
        { name: "imports/3@7", format: "ndjson", status: "Queued", rows_total: 2 },
        { name: "imports/3@8", format: "ndjson", status: "Queued", rows_total: 1 }
      ])
      // The topic was deleted and made again.
      yield* store(record(`{"n":4}`, { timestamp: 1_800_000_000_000 }))
      assert.strictEqual((yield* imports).length, 3)
    }).pipe(Effect.provide(Stores)), 60_000)

  it.live(
    "its headers say what an upload says, and what cannot be read is an error that names the reason",
    () =>
      Effect.gen(function*() {
        const headers = { "content-type": Buffer.from("text/csv"), name: "people.csv", columns: ["born:date"] }
        yield* store(record("name,born\nAda,1815-12-10\n", { headers }))
        assert.deepStrictEqual(yield* imports, [{ name: "people.csv", format: "csv", status: "Queued", rows_total: 1 }])
        const failures = yield* Effect.forEach([
          record(null),
          record("a,b\n1,2\n", { headers }),
          record("<a/>", { headers: { "content-type": "text/xml" } }),
          record("a\n1\n", { headers: { ...headers, columns: "a:colour" } })
        ], (broken) => Effect.either(store(broken)))
        assert.deepStrictEqual(
          failures.map((result) => Either.isLeft(result) ? result.left._tag : "stored"),
          ["InvalidFile", "InvalidFile", "UnsupportedContentType", "InvalidColumns"]
        )
        assert.strictEqual((yield* imports).length, 1)
      }).pipe(Effect.provide(Stores)),
    60_000
  )

  it("KAFKA_URL names the brokers, and maybe a user, TLS and a topic", () => {
    const parsed = (url: string) =>
      Option.map(parseKafkaUrl(url), ({ client: { brokers, sasl, ssl }, topic }) => [
        ...brokers,
        topic,
        ssl,
        ...sasl === undefined ? [] : [sasl.username, Redacted.value(sasl.password)]
      ]).pipe(Option.getOrNull)
    assert.deepStrictEqual(parsed("kafka://broker:9092"), ["broker:9092", "imports", false])
    assert.deepStrictEqual(parsed("kafka+ssl://me:p%40ss@a:9092,b.c:9093/people"), [
      "a:9092",
      "b.c:9093",
      "people",
      true,
      "me",
      "p@ss"
    ])
    for (
      const url of ["broker:9092", "kafka://broker", "kafka://me@broker:9092", "kafka://a:1/x y", "kafka://a:%:b@c:1"]
    ) {
      assert.isNull(parsed(url), url)
    }
  })
})
