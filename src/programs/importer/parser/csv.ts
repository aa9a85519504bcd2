/**
 * CSV as RFC 4180 has it: commas, double quotes, LF or CRLF, UTF-8 with or without a byte order mark. Blank lines are no rows.
 */
import { CsvError, parse } from "csv-parse/sync"
import { Either } from "effect"
import { isUtf8 } from "node:buffer"
import type { Column } from "../columns.js"
import { Broken, check, make, maxSearchBytes, type Reader, type Scan, skipBlankLines } from "./Reader.js"

export type Fields = ReadonlyArray<string>

/** Thrown out of the parser at a record whose end is too far away to be believed. */
class Runaway extends Error {}

const isRunaway = (error: unknown) =>
  error instanceof Runaway || (error instanceof CsvError && error.code === "CSV_QUOTE_NOT_CLOSED")

const newline = 10

/**
 * A record with broken quoting ends the parser, since nothing tells where the record was meant to end. It is then held to
 * be one line, and the parser begins anew on the next one: a quote that is never closed costs its own row, not the rest of the file.
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
      emit(check(window, from, to, valid) ?? fields, from, to)
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
      emit(check(window, from, start, valid) ?? new Broken(quoting(error)), from, start)
    }
  }
  return cut
}

const quoting = (error: CsvError | Runaway): string => {
  if (error instanceof CsvError) {
    if (error.code === "CSV_INVALID_CLOSING_QUOTE") return "broken quoting: text after a closing quote"
    if (error.code !== "CSV_QUOTE_NOT_CLOSED") return "broken quoting: a quote inside a value that has none around it"
  }
  return "broken quoting: a quote is never closed"
}

export const reader = (offset?: number): Reader<Fields> => make(scan, offset)

/**
 * The names of the columns, or why these fields are not that. Every name must be there once, and a line of nothing but
 * numbers is held to be data: the header is missing then, and its first row would be lost as names.
 */
export const header = (fields: Fields | Broken): Either.Either<Fields, string> => {
  if (fields instanceof Broken) return Either.left(`the header cannot be read: ${fields.reason}`)
  const names = fields.map((name) => name.trim())
  const unnamed = names.indexOf("")
  if (unnamed !== -1) return Either.left(`the header has no name for column ${unnamed + 1}`)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) return Either.left(`the header names the column "${twice}" twice`)
  if (names.some((name) => name.includes("\0"))) return Either.left("the header contains a NUL character")
  return names.every((name) => /^[-+]?\d+([.]\d+)?$/.test(name))
    ? Either.left("the first line is no header: it holds nothing but numbers")
    : Either.right(names)
}

/** Turns a record into the JSON text of its row. */
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
