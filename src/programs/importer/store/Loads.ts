/**
 * Reads and writes an import for the worker that loads it.
 */
import { SqlClient } from "@effect/sql"
import { Data, Effect, Either, Option } from "effect"
import * as ColumnTypes from "../columnTypes.js"
import type { Format, ImportId } from "../Domain.js"
import type { Layout } from "../parser/rows.js"

/** Text that Postgres can store: without NUL and without halves of surrogate pairs. */
const storable = (text: string): string => Buffer.from(text).toString("utf8").replaceAll("\0", "\ufffd")

/** The import was cancelled or has ended: the worker has nothing more to do. */
class Stopped extends Data.TaggedError("Stopped")<{ readonly id: ImportId }> {}

/** Rows and rejects that are written in one transaction. */
interface Batch {
  readonly rows: ReadonlyArray<readonly [rowNumber: number, json: string]>
  readonly rejects: ReadonlyArray<{ readonly row: number; readonly reason: string; readonly excerpt: string }>
}

interface Load {
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

    /** Marks the import as loading, and returns how to read it. Allowed for a failed one: its job was retried. */
    const start = (id: ImportId) =>
      Effect.gen(function*() {
        const [row] = yield* sql<LoadRow>`
          UPDATE imports SET status = 'Loading', completed_at = NULL, failure = NULL
          WHERE id = ${id} AND status IN ('Queued', 'Loading', 'Failed')
          RETURNING format, columns, names, first_row_at`
        if (row === undefined) return yield* new Stopped({ id })
        const columns = Either.getOrThrow(ColumnTypes.parse(row.columns))
        const load: Load = { layout: { format: row.format, names: row.names, columns }, firstRowAt: row.first_row_at }
        return load
      })

    /** The bytes of the file from `offset` to the end of its chunk; none at the end of the file. */
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
          // One parameter for each column: the quickest way, without the limit on parameters. The JSON text of a row contains no newline.
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

    /** Runs in the transaction of a checkpoint. */
    const record = (id: ImportId, batch: Batch) =>
      Effect.gen(function*() {
        const there = yield* sql`
          UPDATE imports SET rows_loaded = rows_loaded + ${batch.rows.length}::int,
            rows_rejected = rows_rejected + ${batch.rejects.length}::int
          WHERE id = ${id} AND status = 'Loading' RETURNING id`
        if (there.length === 0) return yield* new Stopped({ id })
        yield* insert(id, batch)
      })

    /** Runs in the transaction that ends the job. Dies unless every row that the upload counted is loaded or rejected. */
    const complete = (id: ImportId, batch: Batch) =>
      Effect.gen(function*() {
        yield* record(id, batch)
        const completed = yield* sql`
          UPDATE imports SET status = 'Completed', completed_at = now()
          WHERE id = ${id} AND rows_loaded + rows_rejected = rows_total RETURNING id`
        if (completed.length === 0) {
          return yield* Effect.dieMessage(`import ${id} has fewer or more rows than its upload counted`)
        }
        yield* sql`DELETE FROM import_chunks WHERE import_id = ${id}`
      })

    /** Those of these imports that are waiting or loading. */
    const unfinished = (ids: ReadonlyArray<ImportId>) =>
      Effect.map(
        sql<{ readonly id: ImportId }>`
          SELECT id FROM imports WHERE status IN ('Queued', 'Loading')
            AND id IN (SELECT json_array_elements_text(${JSON.stringify(ids)}::text::json)::uuid)`,
        (rows) => new Set(rows.map(({ id }) => id))
      )

    /**
     * Marks the import as failed, if its job `isDead`: it may have been retried between the list of dead letters and the lock on the
     * import's row. Keeps the file for a retry.
     */
    const fail = <E, R>(id: ImportId, failure: string, isDead: Effect.Effect<boolean, E, R>) =>
      sql.withTransaction(Effect.gen(function*() {
        const failed = yield* sql`
          UPDATE imports SET status = 'Failed', completed_at = now(), failure = ${storable(failure)}
          WHERE id = ${id} AND status IN ('Queued', 'Loading') RETURNING id`
        if (failed.length > 0 && !(yield* isDead)) return yield* new Stopped({ id })
      })).pipe(Effect.catchTag("Stopped", () => Effect.void))

    /** Queues the import again, before its job is retried; with `fromStart` without the rows it has loaded. */
    const requeue = (id: ImportId, { fromStart }: { readonly fromStart: boolean }) =>
      Effect.gen(function*() {
        const requeued = yield* sql`
          UPDATE imports SET status = 'Queued', completed_at = NULL, failure = NULL
          WHERE id = ${id} AND status IN ('Queued', 'Loading', 'Failed') RETURNING id`
        if (requeued.length === 0 || !fromStart) return
        yield* sql`DELETE FROM import_rows WHERE import_id = ${id}`
        yield* sql`DELETE FROM import_rejects WHERE import_id = ${id}`
        yield* sql`UPDATE imports SET rows_loaded = 0, rows_rejected = 0 WHERE id = ${id}`
      })

    /** Marks the import as failed and deletes its file, before its job is discarded. */
    const discard = (id: ImportId, failure: string) =>
      Effect.zipRight(
        sql`UPDATE imports SET status = 'Failed', completed_at = now(), failure = ${storable(failure)}
          WHERE id = ${id} AND status IN ('Queued', 'Loading')`,
        sql`DELETE FROM import_chunks WHERE import_id = ${id}`
      )

    return { start, bytes, record, complete, unfinished, fail, requeue, discard }
  })
}) {}
