/**
 * What the importer speaks of.
 */
import { Schema } from "effect"

export const ImportId = Schema.UUID.pipe(Schema.brand("ImportId"))
export type ImportId = typeof ImportId.Type

export const Format = Schema.Literal("csv", "ndjson")
export type Format = typeof Format.Type

/**
 * - `Uploading`: its body is still arriving; nothing of it is loaded.
 * - `Queued`: all of it is in the database, and a worker will take it, in this process or another one.
 * - `Loading`: a worker is at it, or was when its process ended; then another one goes on from there.
 * - `Completed`: each row is loaded, or is among the rejects.
 * - `Cancelled`: somebody said so; what was loaded until then is still there.
 * - `Failed`: it was given up after several attempts, and is among the dead letters until somebody retries or discards it.
 */
export const Status = Schema.Literal("Uploading", "Queued", "Loading", "Completed", "Cancelled", "Failed")
export type Status = typeof Status.Type

export const isFinal = (status: Status) => status === "Completed" || status === "Cancelled" || status === "Failed"

export class Import extends Schema.Class<Import>("Import")({
  id: ImportId,
  name: Schema.String,
  status: Status,
  /** Rows in the file without its header; not known while it is uploading. */
  rowsTotal: Schema.NullOr(Schema.Int),
  rowsLoaded: Schema.Int,
  rowsRejected: Schema.Int,
  createdAt: Schema.DateTimeUtc,
  /** When it came to its last status. */
  completedAt: Schema.NullOr(Schema.DateTimeUtc),
  /** Why it failed; only there when it did. */
  failure: Schema.optionalWith(Schema.String, { exact: true })
}) {}

const page = <Row extends Schema.Schema.Any>(row: Row) =>
  Schema.Struct({
    rows: Schema.Array(row),
    /** What to ask for with `after` to go on, null when there was no more. */
    next: Schema.NullOr(Schema.Int)
  })

/** Counts the data rows of the file from 1; rejected rows count, blank lines do not. */
export const RowNumber = Schema.Int

export const Rows = page(Schema.Struct({ rowNumber: RowNumber, data: Schema.Unknown }))
export type Rows = typeof Rows.Type

export const Rejects = page(Schema.Struct({
  rowNumber: RowNumber,
  reason: Schema.String,
  /** How the row begins in the file. */
  excerpt: Schema.String
}))
export type Rejects = typeof Rejects.Type

/** What a worker is given. */
export const ImportJob = Schema.Struct({ importId: ImportId })
export type ImportJob = typeof ImportJob.Type

/** A job that was given up. It is kept, with its file and the rows it has loaded, until it is retried or discarded. */
export class DeadLetter extends Schema.Class<DeadLetter>("DeadLetter")({
  id: Schema.String,
  /** The import that it was to load; null when the job cannot be read. */
  importId: Schema.NullOr(ImportId),
  payload: Schema.Unknown,
  /** What went wrong in the last attempt. */
  error: Schema.String,
  attempts: Schema.Int,
  failedAt: Schema.DateTimeUtc
}) {}

/** How far a worker has come: the last row it dealt with, and where in the file the next one begins. */
export const Cursor = Schema.Struct({ row: Schema.Int, offset: Schema.Int })
export type Cursor = typeof Cursor.Type
