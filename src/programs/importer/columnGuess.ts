/**
 * Guesses the types of columns from the first rows of a file.
 */
import { Either } from "effect"
import { type ColumnType, fitsJson, fitsText, parse } from "./columnTypes.js"
import type { Format, Guess } from "./Domain.js"
import * as Csv from "./parser/csv.js"
import * as Ndjson from "./parser/ndjson.js"
import { Broken, type RecordReader } from "./parser/recordReader.js"

/** Enough to be right about most files. */
const guessedRows = 100
const shownRows = 5

/** The narrowest first. A column without any value remains a string. */
const candidates: ReadonlyArray<ColumnType> = ["integer", "number", "boolean", "date"]

const isDeclarable = (name: string): boolean =>
  Either.match(parse(`${name}:string`), {
    onLeft: () => false,
    onRight: (columns) => columns.length === 1 && columns[0]!.name === name
  })

/** The complete records of a sample; its last one may be cut. */
const records = <A>(reader: RecordReader<A>, sample: Buffer, truncated: boolean) =>
  [...reader.push(sample), ...(truncated ? [] : reader.end())].map(({ value }) => value)

interface Table {
  readonly names: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<unknown>>
}

const csvTable = (sample: Buffer, truncated: boolean): Either.Either<Table, string> => {
  const [header, ...rows] = records(Csv.reader(), sample, truncated)
  if (header === undefined) {
    return Either.left(
      truncated ? "the first line is too long to guess its columns" : "the file is empty: it has no header"
    )
  }
  return Either.map(Csv.parseHeader(header), (names) => ({
    names,
    rows: rows.filter((row): row is Csv.Fields => !(row instanceof Broken) && row.length === names.length)
  }))
}

const parseObject = (line: string): ReadonlyArray<readonly [string, unknown]> | undefined => {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : undefined
  } catch {
    return undefined
  }
}

const ndjsonTable = (sample: Buffer, truncated: boolean): Either.Either<Table, string> => {
  const lines = records(Ndjson.reader(), sample, truncated)
  if (lines.length === 0 && !truncated) return Either.left("the file is empty")
  const objects = lines.slice(0, guessedRows).flatMap((line) => {
    const entries = line instanceof Broken ? undefined : parseObject(line)
    return entries === undefined ? [] : [new Map(entries)]
  })
  const names = [...new Set(objects.flatMap((object) => [...object.keys()]))]
  return Either.right({ names, rows: objects.map((object) => names.map((name) => object.get(name))) })
}

const isEmpty = (value: unknown) => value === undefined || value === null || value === ""

const toText = (value: unknown) => typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value)

/** The columns of a sample with a type each, and its first rows, or why it is no file of this format. `truncated` drops a record that the end of the sample cuts. */
export const guess = (format: Format, sample: Buffer, truncated: boolean): Either.Either<Guess, string> =>
  Either.map(format === "csv" ? csvTable(sample, truncated) : ndjsonTable(sample, truncated), ({ names, rows }) => {
    const fits = format === "csv"
      ? (type: ColumnType, value: unknown) => fitsText(type, String(value))
      : fitsJson
    const columns = names.map((name, index) => {
      const values = rows.slice(0, guessedRows).map((row) => row[index])
      const present = values.filter((value) => !isEmpty(value))
      const type = present.length === 0
        ? undefined
        : candidates.find((type) => present.every((value) => fits(type, value)))
      return {
        name,
        type: type ?? "string",
        optional: present.length < values.length,
        declarable: isDeclarable(name)
      }
    })
    return { columns, rows: rows.slice(0, shownRows).map((row) => row.map(toText)) }
  })
