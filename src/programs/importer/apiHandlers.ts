/**
 * The handlers of the API.
 */
import { HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { DateTime, Effect, Option, Stream } from "effect"
import * as Shutdown from "../../core/Shutdown.js"
import { Api } from "./Api.js"
import { type DeadLetter, Import, type ImportId } from "./Domain.js"
import { ImportNotFound } from "./Errors.js"
import { progressEvents } from "./progressEvents.js"
import { bodyTooLarge, formatOf } from "./requestBody.js"
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
      .handle("list", () => Effect.map(withDatabaseTimeout(imports.list(100)), (imports) => ({ imports })))
      .handle("get", ({ path }) => find(path.id))
      .handleRaw("rows", ({ path, urlParams }) =>
        Effect.flatMap(find(path.id), ({ id }) =>
          Effect.map(withDatabaseTimeout(imports.rows(id, urlParams)), rowsPage)))
      .handleRaw("rejects", ({ path, urlParams }) =>
        Effect.flatMap(find(path.id), ({ id }) =>
          Effect.map(withDatabaseTimeout(imports.rejects(id, urlParams)), rowsPage)))
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

export const ServiceLive = HttpApiBuilder.group(
  Api,
  "service",
  (handlers) => handlers.handle("status", () => Effect.map(Shutdown.state, (state) => ({ state })))
)

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
