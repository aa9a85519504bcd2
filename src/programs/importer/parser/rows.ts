/**
 * The rows of a file, which an upload counts and a job loads.
 */
import { Either } from "effect"
import type { Column } from "../columnTypes.js"
import type { Format } from "../Domain.js"
import * as Csv from "./csv.js"
import * as Ndjson from "./ndjson.js"
import { Broken, type Record, type RecordReader } from "./recordReader.js"

/** How the rows of one file are read; `names` are the columns of a CSV file, in the order of its header. */
export interface Layout {
  readonly format: Format
  readonly names: ReadonlyArray<string>
  readonly columns: ReadonlyArray<Column>
}

/** A row as JSON text, or why it was rejected, and where the next one begins. */
export type Row = Record<string>

/** Why PostgreSQL's jsonb cannot store this row: it contains NUL, or half of a surrogate pair. */
const jsonbError = (json: string): string | undefined => {
  if (!json.includes("\\u")) return undefined
  let high = false
  let end = 0
  for (const { 0: escape, 1: hex, index } of json.matchAll(/\\(?:u([0-9a-fA-F]{4})|.)/g)) {
    const unit = hex === undefined ? 0x20 : parseInt(hex, 16)
    const low = unit >= 0xdc00 && unit <= 0xdfff
    if (unit === 0) return "the row contains a NUL character"
    if (low !== (high && index === end)) return "the row contains half of a character"
    high = unit >= 0xd800 && unit <= 0xdbff
    end = index + escape.length
  }
  return high ? "the row contains half of a character" : undefined
}

const map = <A>(reader: RecordReader<A>, toJson: (value: A) => string | Broken): RecordReader<string> => {
  const convert = (record: Record<A>): Row => {
    const value = record.value instanceof Broken ? record.value : toJson(record.value)
    const reason = value instanceof Broken ? undefined : jsonbError(value)
    return { value: reason === undefined ? value : new Broken(reason), raw: record.raw, end: record.end }
  }
  return { push: (bytes) => reader.push(bytes).map(convert), end: () => reader.end().map(convert) }
}

/** Reads rows from `offset`, at which a row begins, after the header of a CSV file. */
export const rowReader = ({ columns, format, names }: Layout, offset: number): RecordReader<string> =>
  format === "csv"
    ? map(Csv.reader(offset), Csv.toJson(names, columns))
    : map(Ndjson.reader(offset), Ndjson.toJson(columns))

/** The facts of a complete file. */
export interface Summary {
  readonly names: ReadonlyArray<string>
  /** Where the first row begins. */
  readonly offset: number
  readonly rows: number
}

/**
 * Counts the rows of a file as it arrives. Fails as early as possible when the file is empty, has no header, or lacks a column whose type
 * was declared.
 */
export const inspectFile = (format: Format, columns: ReadonlyArray<Column>) => {
  const reader: RecordReader<unknown> = format === "csv" ? Csv.reader() : Ndjson.reader()
  let summary: Summary | undefined = format === "csv" ? undefined : { names: [], offset: 0, rows: 0 }

  const head = (record: Record<unknown>): Either.Either<Summary, string> =>
    Either.flatMap(Csv.parseHeader(record.value as Csv.Fields | Broken), (names) => {
      const missing = columns.find((column) => !names.includes(column.name))
      return missing === undefined
        ? Either.right({ names, offset: record.end, rows: 0 })
        : Either.left(`the header has no column "${missing.name}", whose type was declared`)
    })

  const count = (records: ReadonlyArray<Record<unknown>>): Either.Either<void, string> => {
    let rows = records.length
    if (summary === undefined && rows > 0) {
      const found = head(records[0]!)
      if (Either.isLeft(found)) return Either.left(found.left)
      summary = found.right
      rows--
    }
    if (summary !== undefined) summary = { ...summary, rows: summary.rows + rows }
    return Either.void
  }

  return {
    push: (bytes: Uint8Array): Either.Either<void, string> => count(reader.push(bytes)),
    end: (): Either.Either<Summary, string> =>
      Either.flatMap(count(reader.end()), () => {
        if (summary === undefined) return Either.left("the file is empty: it has no header")
        return format === "ndjson" && summary.rows === 0 ? Either.left("the file is empty") : Either.right(summary)
      })
  }
}
