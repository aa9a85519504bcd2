/**
 * Writes imports while their body arrives: each chunk in a short transaction, and nothing for a worker before the last one.
 */
import { SqlClient } from "@effect/sql"
import { Effect, Option } from "effect"
import type { Format, ImportId } from "../Domain.js"
import { Importer } from "../Domain.js"
import type { Summary } from "../parser/rows.js"
import { importColumns, type ImportRow, toImport } from "./Imports.js"

interface Begin {
  readonly name: string
  readonly format: Format
  /** The text of the request: the worker parses it again. */
  readonly columns: string
  readonly key: Option.Option<string>
}

/** The import that has an Idempotency-Key; without fingerprint it is still uploading. */
export interface Existing {
  readonly id: ImportId
  readonly fingerprint: string | null
}

/** The age of a heartbeat at which the process of its upload counts as dead. */
const orphanedAfter = "20 seconds"
export const heartbeat = "4 seconds"

export class Uploads extends Effect.Service<Uploads>()("importer/Uploads", {
  effect: Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const importer = yield* Importer
    const columns = importColumns(sql)
    const orphaned = sql`status = 'Uploading' AND heartbeat_at < now() - ${orphanedAfter}::text::interval`

    /** Creates the import of an upload, unless its key belongs to another one. */
    const begin = (id: ImportId, { columns, format, key, name }: Begin) =>
      sql.withTransaction(Effect.gen(function*() {
        const unique = Option.getOrNull(key)
        if (unique !== null) yield* sql`DELETE FROM imports WHERE idempotency_key = ${unique} AND ${orphaned}`
        const started = yield* sql`
          INSERT INTO imports (id, name, format, columns, status, idempotency_key)
          VALUES (${id}, ${name}, ${format}, ${columns}, 'Uploading', ${unique})
          ON CONFLICT (idempotency_key) DO NOTHING
          RETURNING id`
        if (started.length > 0) return Option.none<Existing>()
        const [existing] = yield* sql<Existing>`SELECT id, fingerprint FROM imports WHERE idempotency_key = ${unique}`
        // The other import was deleted meanwhile: a repeated request finds the key free.
        return Option.some<Existing>(existing ?? { id, fingerprint: null })
      }))

    /**
     * Stores one more chunk. False when the upload was cancelled or deleted as an orphan. In base64, because PGlite takes six times as long
     * for plain bytes.
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

    const renewHeartbeat = (id: ImportId) =>
      sql`UPDATE imports SET heartbeat_at = now() WHERE id = ${id} AND status = 'Uploading'`

    /** Queues the import of a complete upload. None when it was cancelled. */
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

    /** Deletes an unfinished upload. */
    const abandon = (id: ImportId) => sql`DELETE FROM imports WHERE id = ${id} AND status = 'Uploading'`

    /** Deletes the unfinished uploads of dead processes, and returns how many. */
    const deleteOrphans = Effect.map(sql`DELETE FROM imports WHERE ${orphaned} RETURNING id`, (rows) => rows.length)

    return { begin, append, renewHeartbeat, finish, abandon, deleteOrphans }
  })
}) {}
