/**
 * Cuts a file, which arrives in pieces of any size, into its records.
 *
 * The records do not depend on the pieces: an upload counts them as it arrives, and the job that loads them later, from
 * another offset and in other pieces, finds the same ones.
 */
import { isUtf8 } from "node:buffer"

/** No row is larger: one row must not take the memory that all jobs of the process share. */
export const maxRowBytes = 1024 * 1024

/**
 * How far the end of one record is looked for, before it is held to be broken. Larger than a row may be, so that a row
 * that is too large is one reject and not thousands; small enough to be held in memory.
 */
export const maxSearchBytes = 4 * maxRowBytes

/** A record that holds nothing that could be loaded, and why. */
export class Broken {
  constructor(readonly reason: string) {}
}

export const tooLarge = new Broken("the row is larger than 1 MiB")
export const notUtf8 = new Broken("the row is not valid UTF-8")

/** One record: what it holds, its bytes, and the offset in the file at which the next one begins. */
export interface Record<out A> {
  readonly value: A | Broken
  readonly raw: Buffer
  readonly end: number
}

/**
 * Reads the whole records of `window`, which begins with a record, and returns where the first incomplete one begins.
 * With `final`, nothing follows: every record is whole. It may leave a record incomplete only while less than
 * `maxSearchBytes` of it are there, or while its first line has no end.
 */
export type Scan<A> = (
  window: Buffer,
  final: boolean,
  emit: (value: A | Broken, from: number, to: number) => void
) => number

export interface Reader<out A> {
  /** The records that these bytes complete. */
  readonly push: (bytes: Uint8Array) => ReadonlyArray<Record<A>>
  /** The rest: nothing follows. */
  readonly end: () => ReadonlyArray<Record<A>>
}

const newline = 10
const carriageReturn = 13
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf])
const empty = Buffer.alloc(0)

/** Where the content of a record ends: without its line ending. */
export const trimEnd = (window: Buffer, from: number, to: number): number => {
  if (to > from && window[to - 1] === newline) to--
  if (to > from && window[to - 1] === carriageReturn) to--
  return to
}

/** Where the content of a record begins: after the blank lines before it. */
export const skipBlankLines = (window: Buffer, from: number, to: number): number => {
  while (from < to && (window[from] === newline || (window[from] === carriageReturn && window[from + 1] === newline))) {
    from++
  }
  return from
}

/** Checks that hold for a record of any format. `valid` says that all of the window is known to be UTF-8. */
export const check = (window: Buffer, from: number, to: number, valid: boolean): Broken | undefined => {
  if (to - from > maxRowBytes && trimEnd(window, from, to) - from > maxRowBytes) return tooLarge
  return valid || isUtf8(window.subarray(from, to)) ? undefined : notUtf8
}

/** Reads on from `offset`, which is where a record begins: 0, or the `end` of an earlier one. */
export const make = <A>(scan: Scan<A>, offset = 0): Reader<A> => {
  let position = offset
  let parts: Array<Uint8Array> = []
  let size = 0
  // Looking again for the end of a large record is worth it only when there is much more of it.
  let lookAgainAt = 1
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
      // A line without an end in sight: nothing of it is kept, and it is one reject when its end comes.
      skipping = true
      position += rest.length
      rest = empty
    }
    // A copy, so that the little that is left does not hold all of a window in memory.
    parts = rest.length === 0 ? [] : [rest.length < window.length / 2 ? Buffer.from(rest) : rest]
    size = rest.length
    lookAgainAt = size < maxRowBytes / 16 ? size + 1 : Math.min(size * 2, maxSearchBytes)
    return records
  }

  return {
    push: (bytes) => {
      if (bytes.length === 0) return []
      parts.push(bytes)
      size += bytes.length
      return size < lookAgainAt ? [] : read(false)
    },
    end: () => size === 0 && !skipping ? [] : read(true)
  }
}
