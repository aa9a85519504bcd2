/**
 * Stores an upload in the database, chunk by chunk as it arrives, where any process can load it.
 */
import type { HttpServerRequest } from "@effect/platform"
import { Effect, Either, Option, Schedule, Stream } from "effect"
import { createHash, randomUUID } from "node:crypto"
import * as ColumnTypes from "./columnTypes.js"
import type { Format, ImportId } from "./Domain.js"
import { IdempotencyKeyReused, InvalidColumns, InvalidFile, UploadCancelled, UploadInProgress } from "./Errors.js"
import { inspectFile } from "./parser/rows.js"
import { readBody } from "./requestBody.js"
import { Imports } from "./store/Imports.js"
import { type Existing, heartbeat, Uploads } from "./store/Uploads.js"
import { cleanUp, RequestLimits, withDatabaseTimeout } from "./withDatabaseTimeout.js"

/** Large enough to be quick, small enough for one statement and one step of the parser. */
export const chunkBytes = 256 * 1024

export interface Request {
  readonly name: string
  readonly format: Format
  readonly columns: string
  readonly key: Option.Option<string>
}

/** The hash of what distinguishes two uploads: how the file is read, and its content. */
export const fingerprint = ({ columns, format }: Pick<Request, "columns" | "format">) =>
  createHash("sha256").update(`${format}\n${columns}\n`)

const cancelled = new UploadCancelled({ message: "the import was cancelled during its upload" })

/** Stores the body in chunks, and queues the import in a final transaction. */
const receive = (
  id: ImportId,
  upload: Request,
  columns: ReadonlyArray<ColumnTypes.Column>,
  request: HttpServerRequest.HttpServerRequest
) =>
  Effect.gen(function*() {
    const uploads = yield* Uploads
    const { bodyBytes } = yield* RequestLimits
    const hash = fingerprint(upload)
    const file = inspectFile(upload.format, columns)
    const invalid = Either.mapLeft((message: string) => new InvalidFile({ message }))
    // The heartbeat keeps a slow upload alive as long as this process lives.
    yield* Effect.forkScoped(Effect.repeat(Effect.ignore(uploads.renewHeartbeat(id)), Schedule.spaced(heartbeat)))
    let parts: Array<Uint8Array> = []
    let held = 0
    let offset = 0

    const flush = Effect.gen(function*() {
      if (held === 0) return
      const chunk = Buffer.concat(parts)
      const startsAt = offset
      parts = []
      held = 0
      offset += chunk.length
      hash.update(chunk)
      yield* invalid(file.push(chunk))
      if (!(yield* withDatabaseTimeout(uploads.append(id, startsAt, chunk)))) return yield* cancelled
    })

    yield* readBody(request, bodyBytes).pipe(Stream.runForEach((bytes) => {
      parts.push(bytes)
      held += bytes.length
      return held < chunkBytes ? Effect.void : flush
    }))
    yield* flush
    const summary = yield* invalid(file.end())
    const finished = yield* withDatabaseTimeout(uploads.finish(id, hash.digest("hex"), summary))
    return yield* Effect.mapError(finished, () => cancelled)
  }).pipe(Effect.scoped)

/** The import of an earlier upload with this key, if the file is the same. Stores nothing. */
const replay = (existing: Existing, upload: Request, request: HttpServerRequest.HttpServerRequest) =>
  Effect.gen(function*() {
    if (existing.fingerprint === null) {
      return yield* new UploadInProgress({
        message: "another upload with this Idempotency-Key is in progress, try again when it has ended"
      })
    }
    const imports = yield* Imports
    const { bodyBytes } = yield* RequestLimits
    const hash = fingerprint(upload)
    yield* Stream.runForEach(readBody(request, bodyBytes), (bytes) => Effect.sync(() => hash.update(bytes)))
    if (hash.digest("hex") !== existing.fingerprint) {
      return yield* new IdempotencyKeyReused({
        message: "a different file was uploaded with this Idempotency-Key, use another key for this one"
      })
    }
    return yield* Effect.orDie(Effect.flatten(withDatabaseTimeout(imports.find(existing.id))))
  })

/**
 * Stores one file and queues its import, or returns the import that an earlier upload with its key has become.
 *
 * An upload that does not complete (the client has gone, the service stops, the file is invalid) leaves nothing behind: it is deleted at
 * once, or, when this process dies or the database is unavailable, by `OrphanCleanup` of any process.
 */
export const upload = (upload: Request, request: HttpServerRequest.HttpServerRequest) =>
  Effect.gen(function*() {
    const columns = yield* Either.mapLeft(
      ColumnTypes.parse(upload.columns),
      (message) => new InvalidColumns({ message })
    )
    const uploads = yield* Uploads
    const id = randomUUID() as ImportId
    return yield* Effect.gen(function*() {
      const existing = yield* withDatabaseTimeout(uploads.begin(id, upload))
      return yield* Option.match(existing, {
        onNone: () => receive(id, upload, columns, request),
        onSome: (existing) => replay(existing, upload, request)
      })
    }).pipe(Effect.onError(() => cleanUp(uploads.abandon(id))))
  })
