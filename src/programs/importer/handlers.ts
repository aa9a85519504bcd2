/**
 * What the API does.
 */
import { HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { Effect, Option, Stream } from "effect"
import * as Shutdown from "../../core/Shutdown.js"
import { Api } from "./Api.js"
import { available } from "./available.js"
import { tooLarge } from "./Body.js"
import { formatOf } from "./contentType.js"
import { Import, type ImportId } from "./Domain.js"
import { ImportNotFound } from "./Errors.js"
import { events } from "./events.js"
import { Limits } from "./Limits.js"
import { Imports, type Lines } from "./store/Imports.js"
import { upload } from "./Upload.js"

const notFound = (id: string) => new ImportNotFound({ message: `there is no import ${id}` })

const isId = (id: string): id is ImportId => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)

/** The import of this id. What is no id is the id of nothing. */
const find = (id: string) =>
  Effect.flatMap(Imports, (imports) =>
    Effect.flatMap(
      isId(id) ? available(imports.find(id)) : Effect.succeedNone,
      Option.match({ onNone: () => notFound(id), onSome: Effect.succeed })
    ))

const page = ({ lines, next }: Lines) =>
  HttpServerResponse.text(`{"rows":[${lines.join(",")}],"next":${next}}`, { contentType: "application/json" })

const accepted = (found: Import) =>
  HttpServerResponse.schemaJson(Import)(found, { status: 202, headers: { location: `/imports/${found.id}` } })

export const ImportsLive = HttpApiBuilder.group(Api, "imports", (handlers) =>
  Effect.gen(function*() {
    const imports = yield* Imports
    const { bodyBytes } = yield* Limits
    return handlers
      .handleRaw("create", ({ headers, request, urlParams: { columns, name } }) =>
        Effect.gen(function*() {
          const format = yield* formatOf(headers)
          if ((headers["content-length"] ?? 0) > bodyBytes) return yield* tooLarge(bodyBytes)
          const key = Option.fromNullable(headers["idempotency-key"])
          const found = yield* upload({ name: name ?? `import.${format}`, format, columns, key }, request)
          return yield* Effect.orDie(accepted(found))
        }))
      .handle("list", () => Effect.map(available(imports.list(100)), (imports) => ({ imports })))
      .handle("get", ({ path }) => find(path.id))
      .handleRaw("rows", ({ path, urlParams }) =>
        Effect.flatMap(find(path.id), ({ id }) =>
          Effect.map(available(imports.rows(id, urlParams)), page)))
      .handleRaw("rejects", ({ path, urlParams }) =>
        Effect.flatMap(find(path.id), ({ id }) =>
          Effect.map(available(imports.rejects(id, urlParams)), page)))
      .handleRaw("events", ({ path }) =>
        Effect.gen(function*() {
          const found = yield* find(path.id)
          const services = yield* Effect.context<Imports>()
          return HttpServerResponse.stream(events(found).pipe(Stream.encodeText, Stream.provideContext(services)), {
            contentType: "text/event-stream",
            // Proxies must pass each event on as it comes.
            headers: { "cache-control": "no-store", "x-accel-buffering": "no" }
          })
        }))
      .handle("cancel", ({ path }) =>
        Effect.flatMap(find(path.id), ({ id }) =>
          Effect.flatMap(
            available(imports.cancel(id)),
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
