/**
 * Takes imports from a Kafka topic: the value of each record is a file.
 */
import { SqlClient } from "@effect/sql"
import { Effect, Either, Layer, Option, Predicate, Schedule } from "effect"
import { randomUUID } from "node:crypto"
import * as KafkaClient from "../../layers/kafka/KafkaClient.js"
import * as KafkaConsumer from "../../layers/kafka/KafkaConsumer.js"
import * as ColumnTypes from "./columnTypes.js"
import type { ImportId } from "./Domain.js"
import { InvalidColumns, InvalidFile } from "./Errors.js"
import { type KafkaPlace, kafkaUrl } from "./kafkaUrl.js"
import { inspectFile } from "./parser/rows.js"
import { formatOf } from "./requestBody.js"
import { Uploads } from "./store/Uploads.js"
import { chunkBytes, fingerprint } from "./upload.js"
import { withDatabaseTimeout } from "./withDatabaseTimeout.js"

/** How many records this process stores at a time: each takes a connection for a moment. */
const concurrency = 4

const header = ({ headers }: KafkaClient.KafkaRecord, name: string): string | undefined => {
  const value = headers[name]
  const first = Array.isArray(value) ? value[0] as Uint8Array | string | undefined : value as Uint8Array | string
  return first === undefined || typeof first === "string" ? first : Buffer.from(first).toString("utf8")
}

/** The file of a record, as an upload names it. NDJSON by default: a record is a row, or several. */
const read = (record: KafkaClient.KafkaRecord) =>
  Either.gen(function*() {
    const { offset, partition, timestamp, topic, value } = record
    const place = `${topic}/${partition}@${offset}`
    const format = yield* formatOf({ "content-type": header(record, "content-type") ?? "application/x-ndjson" })
    const declared = header(record, "columns") ?? ""
    const columns = yield* Either.mapLeft(ColumnTypes.parse(declared), (message) => new InvalidColumns({ message }))
    const bytes = Buffer.from(value ?? [])
    const file = inspectFile(format, columns)
    const summary = yield* Either.mapLeft(
      Either.flatMap(file.push(bytes), file.end),
      (message) => new InvalidFile({ message })
    )
    // A topic that was deleted and made again has other records at the same offsets.
    const key = Option.some(`kafka ${place} ${timestamp}`)
    const name = (header(record, "name") ?? place).replaceAll("\0", "")
    const upload = { name, format, columns: declared, key }
    return { bytes, summary, upload, fingerprint: fingerprint(upload).update(bytes).digest("hex") }
  })

/**
 * Stores a file and queues its import, in one transaction whose key is the place of the record: a record that is delivered again is the
 * import that it became before, also after the death of a process.
 */
export const store = (record: KafkaClient.KafkaRecord) =>
  Effect.gen(function*() {
    const { bytes, fingerprint, summary, upload } = yield* read(record)
    const sql = yield* SqlClient.SqlClient
    const uploads = yield* Uploads
    const id = randomUUID() as ImportId
    yield* withDatabaseTimeout(sql.withTransaction(Effect.gen(function*() {
      if (Option.isSome(yield* uploads.begin(id, upload))) return
      for (let offset = 0; offset < bytes.length; offset += chunkBytes) {
        yield* uploads.append(id, offset, bytes.subarray(offset, offset + chunkBytes))
      }
      yield* uploads.finish(id, fingerprint, summary)
    })))
  })

/** An unavailable database is waited for, however long: only files that cannot be read are dead letters. */
const retry = Schedule.exponential("1 second").pipe(Schedule.union(Schedule.spaced("30 seconds")), Schedule.jittered)

const consumer = ({ client, topic }: KafkaPlace) =>
  KafkaConsumer.layer({
    name: "kafka",
    groupId: "importer",
    topics: [topic],
    concurrency,
    deadLetterTopic: `${topic}-dead`,
    process: store,
    permanent: (error) => !Predicate.isTagged(error, "DatabaseUnavailable"),
    retry
  }).pipe(Layer.provide(KafkaClient.layer(client)))

/** Nothing without `KAFKA_URL`. */
export const KafkaImports = Layer.unwrapEffect(
  Effect.map(kafkaUrl, Option.match({ onNone: () => Layer.empty, onSome: consumer }))
)
