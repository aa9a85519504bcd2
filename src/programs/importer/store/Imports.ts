/**
 * Reads imports for the API, and cancels them.
 */
import { SqlClient } from "@effect/sql"
import { DateTime, Effect, Option } from "effect"
import { Import, type ImportId, type Status } from "../Domain.js"

/** A row of the table `imports`. */
export interface ImportRow {
  readonly id: string
  readonly name: string
  readonly status: Status
  readonly rows_total: number | null
  readonly rows_loaded: number
  readonly rows_rejected: number
  readonly failure: string | null
  readonly created_at: Date
  readonly completed_at: Date | null
}

export const importColumns = (sql: SqlClient.SqlClient) =>
  sql.literal("id, name, status, rows_total, rows_loaded, rows_rejected, failure, created_at, completed_at")

export const toImport = (row: ImportRow): Import =>
  new Import({
    id: row.id as ImportId,
    name: row.name,
    status: row.status,
    rowsTotal: row.rows_total,
    rowsLoaded: row.rows_loaded,
    rowsRejected: row.rows_rejected,
    createdAt: DateTime.unsafeFromDate(row.created_at),
    completedAt: row.completed_at === null ? null : DateTime.unsafeFromDate(row.completed_at),
    ...(row.failure === null ? {} : { failure: row.failure })
  })

/** The rows after the row number `after`, at most `limit`. */
interface Page {
  readonly after: number
  readonly limit: number
}

/** Rows as JSON text of the database: parsing them would lose the last digits of long numbers. */
export interface Lines {
  readonly lines: ReadonlyArray<string>
  readonly next: number | null
}

/** The size at which a page ends before its limit: one row may have 1 MiB. */
const maxPageBytes = 4 * 1024 * 1024

export class Imports extends Effect.Service<Imports>()("importer/Imports", {
  effect: Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const columns = importColumns(sql)

    const find = (id: ImportId) =>
      Effect.map(
        sql<ImportRow>`SELECT ${columns} FROM imports WHERE id = ${id}`,
        ([row]) => Option.map(Option.fromNullable(row), toImport)
      )

    const list = (limit: number) =>
      Effect.map(
        sql<ImportRow>`SELECT ${columns} FROM imports ORDER BY created_at DESC, id LIMIT ${limit}`,
        (rows) => rows.map(toImport)
      )

    const lines = (table: "import_rows" | "import_rejects", fields: string) => (id: ImportId, { after, limit }: Page) =>
      Effect.map(
        sql<{ readonly row_number: number; readonly line: string; readonly there: number }>`
          SELECT row_number, line, there FROM (
            SELECT row_number, line, count(*) OVER ()::int AS there, row_number() OVER (ORDER BY row_number)::int AS nth,
              sum(octet_length(line)) OVER (ORDER BY row_number) AS bytes
            FROM (
              SELECT row_number, json_build_object('rowNumber', row_number, ${sql.literal(fields)})::text AS line
              FROM ${sql(table)}
              WHERE import_id = ${id} AND row_number > ${after}
              ORDER BY row_number LIMIT ${limit + 1}
            ) AS found
          ) AS measured
          WHERE nth = 1 OR (nth <= ${limit} AND bytes <= ${maxPageBytes})
          ORDER BY row_number`,
        (rows): Lines => ({
          lines: rows.map(({ line }) => line),
          next: (rows[0]?.there ?? 0) > rows.length ? rows.at(-1)!.row_number : null
        })
      )

    /** Cancels an import that has not ended. An upload notices at its next chunk, a worker at its next batch. */
    const cancel = (id: ImportId) =>
      sql.withTransaction(Effect.gen(function*() {
        // An unfinished upload frees its Idempotency-Key.
        const cancelled = yield* sql`
          UPDATE imports SET status = 'Cancelled', completed_at = now(),
            idempotency_key = CASE WHEN status = 'Uploading' THEN NULL ELSE idempotency_key END
          WHERE id = ${id} AND status IN ('Uploading', 'Queued', 'Loading')
          RETURNING id`
        if (cancelled.length > 0) yield* sql`DELETE FROM import_chunks WHERE import_id = ${id}`
        return yield* find(id)
      }))

    return {
      find,
      list,
      rows: lines("import_rows", "'data', data"),
      rejects: lines("import_rejects", "'reason', reason, 'excerpt', excerpt"),
      cancel
    }
  })
}) {}
