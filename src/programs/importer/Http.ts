/**
 * The HTTP app: the API, its OpenAPI description, and the page.
 */
import { HttpApiBuilder, HttpApiError, HttpApiScalar, HttpApp, HttpServerResponse } from "@effect/platform"
import { Cause, Effect, Layer, Option, Predicate } from "effect"
import { Api } from "./Api.js"
import { DeadLettersLive, ImportsLive, JobsLive, SchedulesLive } from "./apiHandlers.js"
import { PageLive } from "./Page.js"
import { ServiceLive } from "./serviceHandlers.js"

const json = (status: number, _tag: string, message: string) =>
  HttpServerResponse.unsafeJson({ _tag, message }, { status })

/** In words that say what is wrong, and where: the message of Schema is the whole type, as a tree. */
const decodeError = ({ _tag, issues }: HttpApiError.HttpApiDecodeError) =>
  HttpServerResponse.unsafeJson(
    {
      _tag,
      issues,
      message: issues.map(({ message, path }) => `${path.map(String).join(".")}: ${message}`).join("; ")
    },
    { status: 400 }
  )

/** Every error is answered in JSON. A defect is logged; its response says only that there was one. */
const errors = HttpApiBuilder.middleware((app) =>
  Effect.catchAllCause(app, (cause) => {
    const failure: unknown = Option.getOrUndefined(Cause.failureOption(cause))
    if (Predicate.isTagged(failure, "RouteNotFound")) {
      return Effect.succeed(json(404, "RouteNotFound", "there is no page or endpoint at this address"))
    }
    if (failure instanceof HttpApiError.HttpApiDecodeError) return Effect.succeed(decodeError(failure))
    if (failure !== undefined || Cause.isInterrupted(cause)) return Effect.failCause(cause)
    return Effect.as(
      Effect.logError("a request failed with a defect", cause),
      json(
        500,
        "InternalServerError",
        "the request failed with an unexpected error, which is in the log of the service"
      )
    )
  })
)

/** Asks clients to repeat a request that failed because the database was unavailable. */
const retryAfter = HttpApiBuilder.middleware((app) =>
  Effect.zipRight(
    HttpApp.appendPreResponseHandler((_request, response) =>
      Effect.succeed(response.status === 503 ? HttpServerResponse.setHeader(response, "retry-after", "2") : response)
    ),
    app
  )
)

export const Http = HttpApiBuilder.serve().pipe(
  Layer.provide([errors, retryAfter, PageLive, HttpApiBuilder.middlewareOpenApi(), HttpApiScalar.layer()]),
  Layer.provide(
    Layer.provide(HttpApiBuilder.api(Api), [ImportsLive, DeadLettersLive, JobsLive, SchedulesLive, ServiceLive])
  )
)
