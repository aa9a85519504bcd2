import type { SqlClient } from "@effect/sql"
import { DateTime } from "effect"
import { Import, type ImportId, type Status } from "../Domain.js"

/** An import as the database has it. */
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

/** Text that Postgres can store: without NUL and without half of a character. */
export const storable = (text: string): string => Buffer.from(text).toString("utf8").replaceAll("\0", "\ufffd")
