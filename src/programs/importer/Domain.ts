/**
 * The types of the importer, and its pool of workers.
 */
import { Schema } from "effect"
import * as WorkerPool from "../../layers/jobs/WorkerPool.js"
import { types } from "./columnTypes.js"

export const ImportId = Schema.UUID.pipe(Schema.brand("ImportId"))
export type ImportId = typeof ImportId.Type

export const Format = Schema.Literal("csv", "ndjson")
export type Format = typeof Format.Type

/**
 * - `Uploading`: the body is arriving; no row is loaded.
 * - `Queued`: the file is in the database, and a worker of this or another process will load it.
 * - `Loading`: a worker loads it; when its process ends, another worker continues from its last checkpoint.
 * - `Completed`: each row is loaded or rejected.
 * - `Cancelled`: by a request; the rows that were loaded by then stay.
 * - `Failed`: its job has used all its attempts, and is a dead letter until a request retries or discards it.
 */
export const Status = Schema.Literal("Uploading", "Queued", "Loading", "Completed", "Cancelled", "Failed")
export type Status = typeof Status.Type

export const isFinal = (status: Status) => status === "Completed" || status === "Cancelled" || status === "Failed"

export class Import extends Schema.Class<Import>("Import")({
  id: ImportId,
  name: Schema.String,
  status: Status,
  /** The rows of the file without its header; null while it is uploading. */
  rowsTotal: Schema.NullOr(Schema.Int),
  rowsLoaded: Schema.Int,
  rowsRejected: Schema.Int,
  createdAt: Schema.DateTimeUtc,
  /** When it was completed, cancelled or failed. */
  completedAt: Schema.NullOr(Schema.DateTimeUtc),
  /** Why it failed; absent unless it did. */
  failure: Schema.optionalWith(Schema.String, { exact: true })
}) {}

const page = <Row extends Schema.Schema.Any>(row: Row) =>
  Schema.Struct({
    rows: Schema.Array(row),
    /** The `after` of the next page; null on the last one. */
    next: Schema.NullOr(Schema.Int)
  })

/** The number of a data row in the file, from 1. Rejected rows are counted, blank lines are not. */
const RowNumber = Schema.Int

export const Rows = page(Schema.Struct({ rowNumber: RowNumber, data: Schema.Unknown }))
export type Rows = typeof Rows.Type

export const Reject = Schema.Struct({
  rowNumber: RowNumber,
  reason: Schema.String,
  /** The beginning of the row in the file. */
  excerpt: Schema.String
})
export type Reject = typeof Reject.Type

export const Rejects = page(Reject)
export type Rejects = typeof Rejects.Type

/** What the first rows of a file look like. */
export const Guess = Schema.Struct({
  columns: Schema.Array(Schema.Struct({
    name: Schema.String,
    /** The narrowest type that all values have; `string` if none has. */
    type: Schema.Literal(...types),
    /** Whether a value is empty or missing. */
    optional: Schema.Boolean,
    /** Whether `columns` of an upload can name it: a name with a comma cannot be declared. */
    declarable: Schema.Boolean
  })),
  /** The first rows, a text for each column. */
  rows: Schema.Array(Schema.Array(Schema.String))
})
export type Guess = typeof Guess.Type

/** The payload of a job. */
export const ImportJob = Schema.Struct({ importId: ImportId })
export type ImportJob = typeof ImportJob.Type

/** A job that has used all its attempts. It is kept, with its file and the rows it has loaded, until it is retried or discarded. */
export class DeadLetter extends Schema.Class<DeadLetter>("DeadLetter")({
  id: Schema.String,
  /** The import it loads; null when the payload cannot be decoded. */
  importId: Schema.NullOr(ImportId),
  payload: Schema.Unknown,
  /** The error of the last attempt. */
  error: Schema.String,
  attempts: Schema.Int,
  failedAt: Schema.DateTimeUtc
}) {}

/** A checkpoint: the number of the last row that was loaded or rejected, and the offset in the file at which the next one begins. */
export const Cursor = Schema.Struct({ row: Schema.Int, offset: Schema.Int })
export type Cursor = typeof Cursor.Type

/** The pool of workers that load uploaded files. */
export class Importer extends WorkerPool.Tag("importer")<Importer, ImportJob, Cursor>({
  payload: ImportJob,
  cursor: Cursor
}) {}
