/**
 * Imports while their body arrives: chunk by chunk, in short transactions, and not there for anybody until the last one.
 */
import { SqlClient } from "@effect/sql"
import { Effect, Option } from "effect"
import type { Format, ImportId } from "../Domain.js"
import { Importer } from "../Importer.js"
import type { Summary } from "../parser/rows.js"
import { importColumns, type ImportRow, toImport } from "./row.js"

export interface Begin {
  readonly name: string
  readonly format: Format
  /** As the request has them: the worker reads them again. */
  readonly columns: string
  readonly key: Option.Option<string>
}

/** What there is already under an Idempotency-Key; without fingerprint it is still uploading. */
export interface Existing {
  readonly id: ImportId
  readonly fingerprint: string | null
}

/** A process renews the heartbeat of its uploads; one that is this old belongs to a process that has died. */
const staleAfter = "20 seconds"
export const heartbeat = "4 seconds"

export class Uploads extends Effect.Service<Uploads>()("importer/Uploads", {
  effect: Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const importer = yield* Importer
    const columns = importColumns(sql)
    const stale = sql`status = 'Uploading' AND heartbeat_at < now() - ${staleAfter}::text::interval`

    /** Makes room for an upload, unless its key stands for another one already. */
    const begin = (id: ImportId, { columns, format, key, name }: Begin) =>
      sql.withTransaction(Effect.gen(function*() {
        const unique = Option.getOrNull(key)
        if (unique !== null) yield* sql`DELETE FROM imports WHERE idempotency_key = ${unique} AND ${stale}`
        const started = yield* sql`
          INSERT INTO imports (id, name, format, columns, status, idempotency_key)
          VALUES (${id}, ${name}, ${format}, ${columns}, 'Uploading', ${unique})
          ON CONFLICT (idempotency_key) DO NOTHING
          RETURNING id`
        if (started.length > 0) return Option.none<Existing>()
        const [existing] = yield* sql<Existing>`SELECT id, fingerprint FROM imports WHERE idempotency_key = ${unique}`
        // Gone in this very moment: who asks again will find it free.
        return Option.some<Existing>(existing ?? { id, fingerprint: null })
      }))

    /**
     * Keeps one more chunk. False when the upload was cancelled, or given up for dead. Base64 there and back: the embedded
     * database takes six times as long over bytes as they are.
     */
    const append = (id: ImportId, startsAt: number, bytes: Buffer) =>
      Effect.map(
        sql`
          WITH alive AS (
            UPDATE imports SET heartbeat_at = now() WHERE id = ${id} AND status = 'Uploading' RETURNING id
          )
          INSERT INTO import_chunks (import_id, starts_at, bytes)
          SELECT id, ${startsAt}::int, decode(${bytes.toString("base64")}::text, 'base64') FROM alive
          RETURNING starts_at`,
        (rows) => rows.length > 0
      )

    const touch = (id: ImportId) =>
      sql`UPDATE imports SET heartbeat_at = now() WHERE id = ${id} AND status = 'Uploading'`

    /** All of it is there: from now on it is an import, and somebody's job. None when it was cancelled. */
    const finish = (id: ImportId, fingerprint: string, { names, offset, rows }: Summary) =>
      sql.withTransaction(Effect.gen(function*() {
        const [row] = yield* sql<ImportRow>`
          UPDATE imports SET status = 'Queued', fingerprint = ${fingerprint}, rows_total = ${rows},
            names = ${JSON.stringify(names)}::text::jsonb, first_row_at = ${offset}
          WHERE id = ${id} AND status = 'Uploading'
          RETURNING ${columns}`
        if (row === undefined) return Option.none()
        yield* importer.offer({ importId: id }, { id })
        return Option.some(toImport(row))
      }))

    /** Removes every trace of an upload that did not come to its end. */
    const abandon = (id: ImportId) => sql`DELETE FROM imports WHERE id = ${id} AND status = 'Uploading'`

    /** The same for those whose process has died. */
    const sweep = Effect.map(sql`DELETE FROM imports WHERE ${stale} RETURNING id`, (rows) => rows.length)

    return { begin, append, touch, finish, abandon, sweep }
  })
}) {}
