/**
 * What a worker reads and writes of an import.
 */
import { SqlClient } from "@effect/sql"
import { Data, Effect, Either, Option } from "effect"
import * as Columns from "../columns.js"
import type { Format, ImportId } from "../Domain.js"
import type { Layout } from "../parser/rows.js"
import { storable } from "./row.js"

/** Somebody cancelled the import, or it is over: there is nothing more to do. */
export class Stopped extends Data.TaggedError("Stopped")<{ readonly id: ImportId }> {}

/** Rows and rejects that are written together. */
export interface Batch {
  readonly rows: ReadonlyArray<readonly [rowNumber: number, json: string]>
  readonly rejects: ReadonlyArray<{ readonly row: number; readonly reason: string; readonly excerpt: string }>
}

export interface Load {
  readonly layout: Layout
  readonly firstRowAt: number
}

interface LoadRow {
  readonly format: Format
  readonly columns: string
  readonly names: ReadonlyArray<string>
  readonly first_row_at: number
}

export class Loads extends Effect.Service<Loads>()("importer/Loads", {
  effect: Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient

    /** Says that it is loading, and how to read it. Who has its job may, also when it was given up before. */
    const start = (id: ImportId) =>
      Effect.gen(function*() {
        const [row] = yield* sql<LoadRow>`
          UPDATE imports SET status = 'Loading', completed_at = NULL, failure = NULL
          WHERE id = ${id} AND status IN ('Queued', 'Loading', 'Failed')
          RETURNING format, columns, names, first_row_at`
        if (row === undefined) return yield* new Stopped({ id })
        const columns = Either.getOrThrow(Columns.parse(row.columns))
        const load: Load = { layout: { format: row.format, names: row.names, columns }, firstRowAt: row.first_row_at }
        return load
      })

    /** The bytes of the file from `offset` to the end of the chunk that holds them, none at the end of the file. */
    const bytes = (id: ImportId, offset: number) =>
      Effect.map(
        sql<{ readonly base64: string; readonly starts_at: number }>`
          SELECT starts_at, encode(bytes, 'base64') AS base64 FROM import_chunks WHERE import_id = ${id} AND starts_at <= ${offset}
          ORDER BY starts_at DESC LIMIT 1`,
        ([chunk]) =>
          Option.fromNullable(chunk).pipe(
            Option.map(({ base64, starts_at }) => Buffer.from(base64, "base64").subarray(offset - starts_at)),
            Option.filter((bytes) => bytes.length > 0)
          )
      )

    const insert = (id: ImportId, { rejects, rows }: Batch) =>
      Effect.gen(function*() {
        if (rows.length > 0) {
          // One parameter for each column: as quick as it gets, and no limit of parameters. JSON text has no newlines of its own here.
          const numbers = `{${rows.map(([row]) => row).join(",")}}`
          const lines = rows.map(([, json]) => json).join("\n")
          yield* sql`
            INSERT INTO import_rows (import_id, row_number, data)
            SELECT ${id}::uuid, row_number, line::jsonb
            FROM unnest(${numbers}::text::int[], string_to_array(${lines}::text, E'\n')) AS loaded (row_number, line)`
        }
        if (rejects.length > 0) {
          const json = JSON.stringify(rejects.map(({ excerpt, reason, row }) => ({
            row,
            reason: storable(reason),
            excerpt: storable(excerpt)
          })))
          yield* sql`
            INSERT INTO import_rejects (import_id, row_number, reason, excerpt)
            SELECT ${id}::uuid, row, reason, excerpt
            FROM json_to_recordset(${json}::text::json) AS rejected (row int, reason text, excerpt text)`
        }
      })

    /** Within the transaction of a checkpoint. */
    const record = (id: ImportId, batch: Batch) =>
      Effect.gen(function*() {
        const there = yield* sql`
          UPDATE imports SET rows_loaded = rows_loaded + ${batch.rows.length}::int,
            rows_rejected = rows_rejected + ${batch.rejects.length}::int
          WHERE id = ${id} AND status = 'Loading' RETURNING id`
        if (there.length === 0) return yield* new Stopped({ id })
        yield* insert(id, batch)
      })

    /** Within the transaction that ends the job. Every row that the upload counted must be there, or nothing is completed. */
    const complete = (id: ImportId, batch: Batch) =>
      Effect.gen(function*() {
        yield* record(id, batch)
        const completed = yield* sql`
          UPDATE imports SET status = 'Completed', completed_at = now()
          WHERE id = ${id} AND rows_loaded + rows_rejected = rows_total RETURNING id`
        if (completed.length === 0) return yield* Effect.dieMessage(`import ${id} has not the rows that were counted`)
        yield* sql`DELETE FROM import_chunks WHERE import_id = ${id}`
      })

    /** Those of these imports that somebody still expects to be loaded. */
    const expected = (ids: ReadonlyArray<ImportId>) =>
      Effect.map(
        sql<{ readonly id: ImportId }>`
          SELECT id FROM imports WHERE status IN ('Queued', 'Loading')
            AND id IN (SELECT json_array_elements_text(${JSON.stringify(ids)}::text::json)::uuid)`,
        (rows) => new Set(rows.map(({ id }) => id))
      )

    /**
     * Its job was given up, if that `isDead` indeed: between having been seen among the dead letters and the lock on the
     * import's row, somebody may have retried it. Its file is kept, for then.
     */
    const fail = <E, R>(id: ImportId, failure: string, isDead: Effect.Effect<boolean, E, R>) =>
      sql.withTransaction(Effect.gen(function*() {
        const failed = yield* sql`
          UPDATE imports SET status = 'Failed', completed_at = now(), failure = ${storable(failure)}
          WHERE id = ${id} AND status IN ('Queued', 'Loading') RETURNING id`
        if (failed.length > 0 && !(yield* isDead)) return yield* new Stopped({ id })
      })).pipe(Effect.catchTag("Stopped", () => Effect.void))

    /** Its job is about to be retried; with `fromStart` without what it has loaded. */
    const revive = (id: ImportId, { fromStart }: { readonly fromStart: boolean }) =>
      Effect.gen(function*() {
        const revived = yield* sql`
          UPDATE imports SET status = 'Queued', completed_at = NULL, failure = NULL
          WHERE id = ${id} AND status IN ('Queued', 'Loading', 'Failed') RETURNING id`
        if (revived.length === 0 || !fromStart) return
        yield* sql`DELETE FROM import_rows WHERE import_id = ${id}`
        yield* sql`DELETE FROM import_rejects WHERE import_id = ${id}`
        yield* sql`UPDATE imports SET rows_loaded = 0, rows_rejected = 0 WHERE id = ${id}`
      })

    /** Its job is about to be forgotten. */
    const bury = (id: ImportId, failure: string) =>
      Effect.zipRight(
        sql`UPDATE imports SET status = 'Failed', completed_at = now(), failure = ${storable(failure)}
          WHERE id = ${id} AND status IN ('Queued', 'Loading')`,
        sql`DELETE FROM import_chunks WHERE import_id = ${id}`
      )

    return { start, bytes, record, complete, expected, fail, revive, bury }
  })
}) {}
