/**
 * Takes a file in: as it comes, chunk by chunk, into the database, where any process can load it.
 */
import type { HttpServerRequest } from "@effect/platform"
import { Effect, Either, Option, Schedule, Stream } from "effect"
import { createHash, randomUUID } from "node:crypto"
import { attempt, available } from "./available.js"
import { body } from "./Body.js"
import * as Columns from "./columns.js"
import type { Format, ImportId } from "./Domain.js"
import { IdempotencyKeyReused, InvalidColumns, InvalidFile, UploadCancelled, UploadInProgress } from "./Errors.js"
import { Limits } from "./Limits.js"
import { inspect } from "./parser/rows.js"
import { Imports } from "./store/Imports.js"
import { type Existing, heartbeat, Uploads } from "./store/Uploads.js"

/** As much as one statement and one parse should take at a time. */
const chunkBytes = 256 * 1024

export interface Request {
  readonly name: string
  readonly format: Format
  readonly columns: string
  readonly key: Option.Option<string>
}

/** Tells one upload from another: what it holds, and how it is to be read. */
const fingerprint = ({ columns, format }: Request) => createHash("sha256").update(`${format}\n${columns}\n`)

const cancelled = new UploadCancelled({ message: "the import was cancelled while it was uploading" })

/** Reads the whole body into chunks, and makes it an import in one last transaction. */
const receive = (
  id: ImportId,
  upload: Request,
  columns: ReadonlyArray<Columns.Column>,
  request: HttpServerRequest.HttpServerRequest
) =>
  Effect.gen(function*() {
    const uploads = yield* Uploads
    const { bodyBytes } = yield* Limits
    const hash = fingerprint(upload)
    const file = inspect(upload.format, columns)
    const invalid = Either.mapLeft((message: string) => new InvalidFile({ message }))
    // A client may be slow; as long as this process is there, its upload is.
    yield* Effect.forkScoped(Effect.repeat(Effect.ignore(uploads.touch(id)), Schedule.spaced(heartbeat)))
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
      if (!(yield* available(uploads.append(id, startsAt, chunk)))) return yield* cancelled
    })

    yield* body(request, bodyBytes).pipe(Stream.runForEach((bytes) => {
      parts.push(bytes)
      held += bytes.length
      return held < chunkBytes ? Effect.void : flush
    }))
    yield* flush
    const summary = yield* invalid(file.end())
    const finished = yield* available(uploads.finish(id, hash.digest("hex"), summary))
    return yield* Effect.mapError(finished, () => cancelled)
  }).pipe(Effect.scoped)

/** The import that this key stands for already, if this is the same file. Nothing of it is kept. */
const replay = (existing: Existing, upload: Request, request: HttpServerRequest.HttpServerRequest) =>
  Effect.gen(function*() {
    if (existing.fingerprint === null) {
      return yield* new UploadInProgress({ message: "an upload with this Idempotency-Key is in progress" })
    }
    const imports = yield* Imports
    const { bodyBytes } = yield* Limits
    const hash = fingerprint(upload)
    yield* Stream.runForEach(body(request, bodyBytes), (bytes) => Effect.sync(() => hash.update(bytes)))
    if (hash.digest("hex") !== existing.fingerprint) {
      return yield* new IdempotencyKeyReused({ message: "another file was uploaded with this Idempotency-Key" })
    }
    return yield* Effect.orDie(Effect.flatten(available(imports.find(existing.id))))
  })

/**
 * Takes in one file, or says which import it has become already.
 *
 * What does not come to its end (the client has gone, the service stops, the file is refused) leaves nothing behind: it is
 * removed at once, or, when this process dies or the database is away, by the sweep of any process.
 */
export const upload = (upload: Request, request: HttpServerRequest.HttpServerRequest) =>
  Effect.gen(function*() {
    const columns = yield* Either.mapLeft(Columns.parse(upload.columns), (message) => new InvalidColumns({ message }))
    const uploads = yield* Uploads
    const id = randomUUID() as ImportId
    return yield* Effect.gen(function*() {
      const existing = yield* available(uploads.begin(id, upload))
      return yield* Option.match(existing, {
        onNone: () => receive(id, upload, columns, request),
        onSome: (existing) => replay(existing, upload, request)
      })
    }).pipe(Effect.onError(() => attempt(uploads.abandon(id))))
  })
