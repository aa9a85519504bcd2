/**
 * The rejected rows of an import as a CSV file.
 */
import { Chunk, Effect, Option, Schema, Stream } from "effect"
import { type ImportId, Reject } from "./Domain.js"
import { Imports } from "./store/Imports.js"
import { withDatabaseTimeout } from "./withDatabaseTimeout.js"

const pageRows = 1000

const quoted = (text: string) => `"${text.replaceAll("\"", "\"\"")}"`

const decode = Schema.decodeSync(Schema.parseJson(Reject))

const toLine = (json: string): string => {
  const { excerpt, reason, rowNumber } = decode(json)
  return `${rowNumber},${quoted(reason)},${quoted(excerpt)}\r\n`
}

/** A header and a line for each reject, read page by page. Fails, and so cuts the response, when the database is unavailable meanwhile. */
export const rejectsCsv = (id: ImportId) =>
  Stream.concat(
    Stream.succeed("row,reason,excerpt\r\n"),
    Stream.paginateChunkEffect(0, (after) =>
      Effect.flatMap(Imports, (imports) =>
        Effect.map(
          withDatabaseTimeout(imports.rejects(id, { after, limit: pageRows })),
          ({ lines, next }) => [Chunk.fromIterable(lines.map(toLine)), Option.fromNullable(next)] as const
        )))
  )
