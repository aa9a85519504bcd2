/**
 * The handlers of the API.
 */
import { HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { Chunk, DateTime, Effect, Either, Option, Stream } from "effect"
import * as JobConsole from "../../layers/jobs/JobConsole.js"
import { JobSourceError } from "../../layers/jobs/JobSource.js"
import * as ScheduleConsole from "../../layers/jobs/ScheduleConsole.js"
import { Api } from "./Api.js"
import { guess } from "./columnGuess.js"
import { type DeadLetter, Guess, Import, Importer, type ImportId } from "./Domain.js"
import { ImportNotFound, InvalidFile } from "./Errors.js"
import { OrphanCleanup } from "./orphanCleanup.js"
import { progressEvents } from "./progressEvents.js"
import { rejectsCsv } from "./rejectsCsv.js"
import { bodyTooLarge, formatOf, readBody } from "./requestBody.js"
import { DeadLetters } from "./store/DeadLetters.js"
import { Imports, type Lines } from "./store/Imports.js"
import { upload } from "./upload.js"
import { RequestLimits, withDatabaseTimeout } from "./withDatabaseTimeout.js"

const notFound = (id: string) => new ImportNotFound({ message: `there is no import ${id}` })

const isId = (id: string): id is ImportId => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)

/** The import with this id. A text that is not a UUID is the id of no import. */
const find = (id: string) =>
  Effect.flatMap(Imports, (imports) =>
    Effect.flatMap(
      isId(id) ? withDatabaseTimeout(imports.find(id)) : Effect.succeedNone,
      Option.match({ onNone: () => notFound(id), onSome: Effect.succeed })
    ))

/** The largest sample of a file whose columns are guessed. */
const sampleBytes = 256 * 1024

const rowsPage = ({ lines, next }: Lines) =>
  HttpServerResponse.text(`{"rows":[${lines.join(",")}],"next":${next}}`, { contentType: "application/json" })

const accepted = (found: Import) =>
  HttpServerResponse.schemaJson(Import)(found, { status: 202, headers: { location: `/imports/${found.id}` } })

export const ImportsLive = HttpApiBuilder.group(Api, "imports", (handlers) =>
  Effect.gen(function*() {
    const imports = yield* Imports
    const { bodyBytes } = yield* RequestLimits
    return handlers
      .handleRaw("create", ({ headers, request, urlParams: { columns, name } }) =>
        Effect.gen(function*() {
          const format = yield* formatOf(headers)
          if ((headers["content-length"] ?? 0) > bodyBytes) return yield* bodyTooLarge(bodyBytes)
          const key = Option.fromNullable(headers["idempotency-key"])
          const found = yield* upload({ name: name ?? `import.${format}`, format, columns, key }, request)
          return yield* Effect.orDie(accepted(found))
        }))
      .handleRaw("guess", ({ headers, request, urlParams: { truncated } }) =>
        Effect.gen(function*() {
          const format = yield* formatOf(headers)
          const chunks = yield* Stream.runCollect(readBody(request, sampleBytes))
          const sample = Buffer.concat(Chunk.toReadonlyArray(chunks))
          const found = yield* Either.mapLeft(
            guess(format, sample, truncated),
            (message) => new InvalidFile({ message })
          )
          return yield* Effect.orDie(HttpServerResponse.schemaJson(Guess)(found))
        }))
      .handle("list", () => Effect.map(withDatabaseTimeout(imports.list(100)), (imports) => ({ imports })))
      .handle("get", ({ path }) => find(path.id))
      .handleRaw(
        "rows",
        ({ path, urlParams }) =>
          Effect.flatMap(find(path.id), ({ id }) =>
            Effect.map(withDatabaseTimeout(imports.rows(id, urlParams)), rowsPage))
      )
      .handleRaw(
        "rejects",
        ({ path, urlParams }) =>
          Effect.flatMap(find(path.id), ({ id }) =>
            Effect.map(withDatabaseTimeout(imports.rejects(id, urlParams)), rowsPage))
      )
      .handleRaw("rejectsCsv", ({ path }) =>
        Effect.gen(function*() {
          const { id } = yield* find(path.id)
          const services = yield* Effect.context<Imports>()
          return HttpServerResponse.stream(
            rejectsCsv(id).pipe(Stream.encodeText, Stream.provideContext(services)),
            {
              contentType: "text/csv; charset=utf-8",
              headers: { "content-disposition": `attachment; filename="rejects-${id}.csv"` }
            }
          )
        }))
      .handleRaw("events", ({ path }) =>
        Effect.gen(function*() {
          const found = yield* find(path.id)
          const services = yield* Effect.context<Imports>()
          return HttpServerResponse.stream(
            progressEvents(found).pipe(Stream.encodeText, Stream.provideContext(services)),
            {
              contentType: "text/event-stream",
              // Tells proxies not to buffer events.
              headers: { "cache-control": "no-store", "x-accel-buffering": "no" }
            }
          )
        }))
      .handle("cancel", ({ path }) =>
        Effect.flatMap(find(path.id), ({ id }) =>
          Effect.flatMap(
            withDatabaseTimeout(imports.cancel(id)),
            Option.match({
              onNone: () =>
                notFound(id),
              onSome: Effect.succeed
            })
          )))
  }))

/** The position after the last dead letter of a page, for the next request. */
const toCursor = ({ failedAt, id }: DeadLetter) => `${DateTime.toEpochMillis(failedAt)}.${id}`
const fromCursor = (cursor: string) => {
  const dot = cursor.indexOf(".")
  return { failedAt: DateTime.unsafeMake(Number(cursor.slice(0, dot))), id: cursor.slice(dot + 1) }
}

export const DeadLettersLive = HttpApiBuilder.group(
  Api,
  "deadLetters",
  (handlers) =>
    Effect.map(DeadLetters, (letters) =>
      handlers
        .handle("list", ({ urlParams: { after, limit } }) =>
          Effect.map(
            withDatabaseTimeout(letters.list(limit, after === undefined ? undefined : fromCursor(after))),
            (found) => ({
              deadLetters: found,
              next: found.length < limit ? null : toCursor(found.at(-1)!)
            })
          ))
        .handle("get", ({ path }) => withDatabaseTimeout(letters.get(path.id)))
        .handle("retry", ({ path, urlParams }) => withDatabaseTimeout(letters.retry(path.id, urlParams)))
        .handle("discard", ({ path }) => withDatabaseTimeout(letters.discard(path.id))))
)

/** Any job of the pool. What is done to it is done to its import as well. */
export const JobsLive = JobConsole.layer(Api, [
  Effect.map(Effect.all([Importer, DeadLetters, Imports]), ([pool, letters, imports]) => ({
    ...pool,
    cancel: (ids: ReadonlyArray<string>) =>
      Effect.forEach(ids.filter(isId), imports.cancel, { discard: true }).pipe(
        Effect.mapError((cause) => new JobSourceError({ operation: "cancel", queue: pool.name, cause })),
        Effect.zipRight(pool.cancel(ids))
      ),
    deadLetters: { ...pool.deadLetters, redrive: letters.redriveAll, discard: letters.discardAll }
  }))
])

export const SchedulesLive = ScheduleConsole.layer(Api, [OrphanCleanup])
