/**
 * Splits a file, which arrives in chunks of any size, into records.
 *
 * The records do not depend on the chunks: the upload that counts them and the job that loads them, from another offset and in other
 * chunks, find the same ones.
 */
import { isUtf8 } from "node:buffer"

/** The largest row: one row must not exhaust the memory that all jobs of the process share. */
export const maxRowBytes = 1024 * 1024

/**
 * How far the end of a record is searched for before the record is broken. Larger than the largest row, so that a row that is too large is
 * one reject and not thousands; small enough to be held in memory.
 */
export const maxSearchBytes = 4 * maxRowBytes

/** A record that cannot be loaded, and why. */
export class Broken {
  constructor(readonly reason: string) {}
}

const tooLarge = new Broken("the row is larger than 1 MiB")
const notUtf8 = new Broken("the row is not valid UTF-8")

/** One record: its value, its bytes, and the offset in the file at which the next one begins. */
export interface Record<out A> {
  readonly value: A | Broken
  readonly raw: Buffer
  readonly end: number
}

/**
 * Emits the complete records of `window`, which begins with a record, and returns where the first incomplete one begins. With `final` no
 * bytes follow, and every record is complete. A record may stay incomplete only while less than `maxSearchBytes` of it have arrived, or
 * while its first line has no end.
 */
export type Scan<A> = (
  window: Buffer,
  final: boolean,
  emit: (value: A | Broken, from: number, to: number) => void
) => number

export interface RecordReader<out A> {
  /** Returns the records that these bytes complete. */
  readonly push: (bytes: Uint8Array) => ReadonlyArray<Record<A>>
  /** Returns the remaining records: no bytes follow. */
  readonly end: () => ReadonlyArray<Record<A>>
}

const newline = 10
const carriageReturn = 13
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf])
const empty = Buffer.alloc(0)

/** Where the content of a record ends, before its line ending. */
const trimEnd = (window: Buffer, from: number, to: number): number => {
  if (to > from && window[to - 1] === newline) to--
  if (to > from && window[to - 1] === carriageReturn) to--
  return to
}

/** Where the content of a record begins, after blank lines. */
export const skipBlankLines = (window: Buffer, from: number, to: number): number => {
  while (from < to && (window[from] === newline || (window[from] === carriageReturn && window[from + 1] === newline))) {
    from++
  }
  return from
}

/** Checks the size and the encoding of a record of any format. `valid` if the whole window is known to be UTF-8. */
export const checkRecord = (window: Buffer, from: number, to: number, valid: boolean): Broken | undefined => {
  if (to - from > maxRowBytes && trimEnd(window, from, to) - from > maxRowBytes) return tooLarge
  return valid || isUtf8(window.subarray(from, to)) ? undefined : notUtf8
}

/** Reads from `offset`, at which a record begins: 0, or the `end` of an earlier record. */
export const makeReader = <A>(scan: Scan<A>, offset = 0): RecordReader<A> => {
  let position = offset
  let parts: Array<Uint8Array> = []
  let size = 0
  // A large record is scanned again only when much more of it has arrived: otherwise its cost would be quadratic.
  let scanAgainAt = 1
  let skipping = false

  const read = (final: boolean): ReadonlyArray<Record<A>> => {
    const records: Array<Record<A>> = []
    let window = parts.length === 1 ? Buffer.from(parts[0]!.buffer, parts[0]!.byteOffset, size) : Buffer.concat(parts)
    if (position === 0 && window.subarray(0, 3).equals(byteOrderMark)) {
      window = window.subarray(3)
      position = 3
    }
    if (skipping) {
      const at = window.indexOf(newline)
      const to = at === -1 ? window.length : at + 1
      window = window.subarray(to)
      position += to
      if (at !== -1 || final) {
        skipping = false
        records.push({ value: tooLarge, raw: empty, end: position })
      }
    }
    const base = position
    const to = skipping ? 0 : scan(window, final, (value, from, to) => {
      records.push({ value, raw: window.subarray(from, to), end: base + to })
    })
    let rest = window.subarray(to)
    position += to
    if (!final && rest.length >= maxSearchBytes) {
      // The line is too long: its bytes are dropped, and it becomes one reject when its end arrives.
      skipping = true
      position += rest.length
      rest = empty
    }
    // Copies a small rest, so that it does not keep the whole window in memory.
    parts = rest.length === 0 ? [] : [rest.length < window.length / 2 ? Buffer.from(rest) : rest]
    size = rest.length
    scanAgainAt = size < maxRowBytes / 16 ? size + 1 : Math.min(size * 2, maxSearchBytes)
    return records
  }

  return {
    push: (bytes) => {
      if (bytes.length === 0) return []
      parts.push(bytes)
      size += bytes.length
      return size < scanAgainAt ? [] : read(false)
    },
    end: () => size === 0 && !skipping ? [] : read(true)
  }
}
