// Shared by the tests of the parser: the rows that it reads from a file.
import { assert } from "@effect/vitest"
import { Either } from "effect"
import * as Columns from "../../../src/programs/importer/columnTypes.js"
import { Broken } from "../../../src/programs/importer/parser/recordReader.js"
import { inspectFile, rowReader } from "../../../src/programs/importer/parser/rows.js"

type Format = "csv" | "ndjson"

export const bytes = (text: string | Uint8Array) => Buffer.from(text as string)

/** The file in chunks, whose sizes are `sizes` in turn. */
const cut = (file: Buffer, sizes: ReadonlyArray<number>) => {
  const pieces: Array<Buffer> = []
  for (let at = 0, i = 0; at < file.length; i++) {
    const size = sizes[i % sizes.length]!
    pieces.push(file.subarray(at, at + size))
    at += size
  }
  return pieces
}

/** The rows of a file: the JSON of each, or `!` and the reason; or why the file is invalid. */
export const load = (
  file: string | Uint8Array,
  format: Format = "csv",
  spec = "",
  sizes: ReadonlyArray<number> = [65_536]
) => {
  const columns = Either.getOrThrow(Columns.parse(spec))
  const pieces = cut(bytes(file), sizes)
  const inspector = inspectFile(format, columns)
  for (const piece of pieces) {
    const seen = inspector.push(piece)
    if (Either.isLeft(seen)) return seen.left
  }
  const summary = inspector.end()
  if (Either.isLeft(summary)) return summary.left
  const { names, offset, rows } = summary.right
  const found = readFrom(file, { format, names, columns }, offset, sizes)
  assert.strictEqual(found.length, rows, "the upload counted what the job found")
  return found.map((row) => row.value instanceof Broken ? `!${row.value.reason}` : JSON.parse(row.value) as unknown)
}

export const readFrom = (
  file: string | Uint8Array,
  layout: Parameters<typeof rowReader>[0],
  offset: number,
  sizes: ReadonlyArray<number>
) => {
  const rows = rowReader(layout, offset)
  return [...cut(bytes(file).subarray(offset), sizes).flatMap((piece) => rows.push(piece)), ...rows.end()]
}
