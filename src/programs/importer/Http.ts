/**
 * The app behind the port: the API, its description, and the page.
 */
import { HttpApiBuilder, HttpApiScalar, HttpApp, HttpServerResponse } from "@effect/platform"
import { Cause, Effect, Layer, Option, Predicate } from "effect"
import { Api } from "./Api.js"
import { DeadLettersLive } from "./deadLetters.js"
import { ImportsLive, ServiceLive } from "./handlers.js"
import { page } from "./Page.js"

const json = (status: number, _tag: string, message: string) =>
  HttpServerResponse.unsafeJson({ _tag, message }, { status })

/** Whatever happens is told in JSON; what is a bug is told to the log, and to the client only that it was one. */
const errors = HttpApiBuilder.middleware((app) =>
  Effect.catchAllCause(app, (cause) => {
    const failure = Option.getOrUndefined(Cause.failureOption(cause))
    if (Predicate.isTagged(failure, "RouteNotFound")) {
      return Effect.succeed(json(404, "RouteNotFound", "there is nothing at this address"))
    }
    if (failure !== undefined || Cause.isInterrupted(cause)) return Effect.failCause(cause)
    return Effect.as(
      Effect.logError("a request ended in a defect", cause),
      json(500, "InternalServerError", "something is broken here, and it has been logged")
    )
  })
)

/** A database that is away comes back: clients are told to. */
const retryAfter = HttpApiBuilder.middleware((app) =>
  Effect.zipRight(
    HttpApp.appendPreResponseHandler((_request, response) =>
      Effect.succeed(response.status === 503 ? HttpServerResponse.setHeader(response, "retry-after", "2") : response)
    ),
    app
  )
)

const Page = HttpApiBuilder.Router.use((router) => router.get("/", HttpServerResponse.html(page)))

export const Http = HttpApiBuilder.serve().pipe(
  Layer.provide([errors, retryAfter, Page, HttpApiBuilder.middlewareOpenApi(), HttpApiScalar.layer()]),
  Layer.provide(Layer.provide(HttpApiBuilder.api(Api), [ImportsLive, DeadLettersLive, ServiceLive]))
)
