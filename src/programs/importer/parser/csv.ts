/**
 * CSV by RFC 4180: commas, double quotes, LF or CRLF, UTF-8 with or without a byte order mark. Blank lines are skipped.
 */
import { CsvError, parse } from "csv-parse/sync"
import { Either } from "effect"
import { isUtf8 } from "node:buffer"
import type { Column } from "../columnTypes.js"
import {
  Broken,
  checkRecord,
  makeReader,
  maxSearchBytes,
  type RecordReader,
  type Scan,
  skipBlankLines
} from "./recordReader.js"

export type Fields = ReadonlyArray<string>

/** Thrown out of the parser at a record that is longer than `maxSearchBytes`: a quote is not closed. */
class Runaway extends Error {}

const isRunaway = (error: unknown) =>
  error instanceof Runaway || (error instanceof CsvError && error.code === "CSV_QUOTE_NOT_CLOSED")

const newline = 10

/**
 * Broken quoting ends the parser, because the end of the record is unknown. The record is then taken to be one line, and parsing
 * restarts on the next one: an unclosed quote costs its own row, not the rest of the file.
 */
const scan: Scan<Fields> = (window, final, emit) => {
  const cut = final ? window.length : window.lastIndexOf(newline) + 1
  const valid = isUtf8(window.subarray(0, cut))
  let start = 0
  while (start < cut) {
    const base = start
    let last = start
    const onRecord = (fields: Fields, { bytes }: { readonly bytes: number }) => {
      const from = skipBlankLines(window, last, cut)
      const to = base + bytes
      if (to - from > maxSearchBytes && window.indexOf(newline, from) < to - 1) throw new Runaway()
      emit(checkRecord(window, from, to, valid) ?? fields, from, to)
      last = to
      return null
    }
    try {
      parse(window.subarray(start, cut), {
        record_delimiter: ["\r\n", "\n"],
        relax_column_count: true,
        skip_empty_lines: true,
        on_record: onRecord
      })
      return cut
    } catch (error) {
      if (!(error instanceof CsvError || error instanceof Runaway)) throw error
      const from = skipBlankLines(window, last, cut)
      if (isRunaway(error) && !final && window.length - from < maxSearchBytes) return last
      const end = window.indexOf(newline, from)
      start = end === -1 ? cut : end + 1
      emit(checkRecord(window, from, start, valid) ?? new Broken(quotingError(error)), from, start)
    }
  }
  return cut
}

const quotingError = (error: CsvError | Runaway): string => {
  if (error instanceof CsvError) {
    if (error.code === "CSV_INVALID_CLOSING_QUOTE") return "broken quoting: text after a closing quote"
    if (error.code !== "CSV_QUOTE_NOT_CLOSED") return "broken quoting: a quote inside an unquoted value"
  }
  return "broken quoting: a quote is never closed"
}

export const reader = (offset?: number): RecordReader<Fields> => makeReader(scan, offset)

/**
 * The names of the columns, or why these fields are not a header. Names must be unique, and a line of only numbers is taken to be data: the
 * header is missing then, and the first row would be lost as names.
 */
export const parseHeader = (fields: Fields | Broken): Either.Either<Fields, string> => {
  if (fields instanceof Broken) return Either.left(`the header cannot be read: ${fields.reason}`)
  const names = fields.map((name) => name.trim())
  const unnamed = names.indexOf("")
  if (unnamed !== -1) return Either.left(`the header has no name for column ${unnamed + 1}`)
  const duplicate = names.find((name, index) => names.indexOf(name) !== index)
  if (duplicate !== undefined) return Either.left(`the header names the column "${duplicate}" twice`)
  if (names.some((name) => name.includes("\0"))) return Either.left("the header contains a NUL character")
  return names.every((name) => /^[-+]?\d+([.]\d+)?$/.test(name))
    ? Either.left("the first line is not a header: it contains only numbers")
    : Either.right(names)
}

/** The JSON text of the row of a record. */
export const toJson = (names: Fields, columns: ReadonlyArray<Column>) => {
  const keys = names.map((name, index) => `${index === 0 ? "{" : ","}${JSON.stringify(name)}:`)
  const types = names.map((name) => columns.find((column) => column.name === name))
  return (fields: Fields): string | Broken => {
    if (fields.length !== names.length) {
      return new Broken(`expected ${names.length} fields as in the header, but found ${fields.length}`)
    }
    let json = ""
    for (let i = 0; i < names.length; i++) {
      const type = types[i]
      const value = type === undefined ? JSON.stringify(fields[i]) : type.fromText(fields[i]!)
      if (value instanceof Broken) return value
      json += keys[i]! + value
    }
    return json + "}"
  }
}
