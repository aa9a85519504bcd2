/**
 * NDJSON: one JSON object on each line, in UTF-8. Blank lines are skipped.
 */
import { isUtf8 } from "node:buffer"
import type { Column } from "../columnTypes.js"
import { Broken, checkRecord, makeReader, type RecordReader, type Scan } from "./recordReader.js"

const newline = 10

const isBlank = (line: string) => line.trim() === ""

const scan: Scan<string> = (window, final, emit) => {
  const cut = final ? window.length : window.lastIndexOf(newline) + 1
  const valid = isUtf8(window.subarray(0, cut))
  let from = 0
  while (from < cut) {
    const at = window.indexOf(newline, from)
    const to = at === -1 ? cut : at + 1
    const broken = checkRecord(window, from, to, valid)
    const line = broken ?? window.toString("utf8", from, to)
    if (line instanceof Broken || !isBlank(line)) emit(line, from, to)
    from = to
  }
  return cut
}

export const reader = (offset?: number): RecordReader<string> => makeReader(scan, offset)

/** Numbers that JavaScript may not be able to represent: then the line is serialized anew. */
const extremeNumber = /[eE][-+]?\d{3}|\d{300}/

const maxDepth = 100

/** Why this value cannot be stored; undefined if it can. */
const storageError = (value: unknown, depth: number): string | undefined => {
  if (typeof value === "number") return Number.isFinite(value) ? undefined : "a number is out of range"
  if (typeof value !== "object" || value === null) return undefined
  if (depth === maxDepth) return `the object is nested more than ${maxDepth} levels deep`
  for (const child of Object.values(value)) {
    const found = storageError(child, depth + 1)
    if (found !== undefined) return found
  }
  return undefined
}

/**
 * The JSON text of the row of a line: the line itself, so that a long number keeps its digits.
 */
export const toJson = (columns: ReadonlyArray<Column>) => (line: string): string | Broken => {
  let object: unknown
  try {
    object = JSON.parse(line)
  } catch {
    return new Broken("not valid JSON")
  }
  if (typeof object !== "object" || object === null || Array.isArray(object)) return new Broken("not a JSON object")
  const found = storageError(object, 0)
  if (found !== undefined) return new Broken(found)
  for (const column of columns) {
    const value = Object.hasOwn(object, column.name) ? (object as { [name: string]: unknown })[column.name] : undefined
    const reason = column.checkJson(value)
    if (reason !== undefined) return reason
  }
  return extremeNumber.test(line) ? JSON.stringify(object) : line.trim()
}
