import * as Headers from "@effect/platform/Headers"
import type { Default } from "@effect/platform/HttpApp"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as HttpTraceContext from "@effect/platform/HttpTraceContext"
import { Context, Effect, type Exit, Option, type Tracer } from "effect"

type Request = HttpServerRequest.HttpServerRequest
type RedactedNames = ReadonlyArray<string | RegExp>

/** Records a request as the platform does. */
export const describeRequest = (span: Tracer.Span, request: Request, redactedNames: RedactedNames): void => {
  span.attribute("http.request.method", request.method)
  const url = Option.getOrUndefined(HttpServerRequest.toURL(request))
  if (url !== undefined) {
    if (url.username !== "" || url.password !== "") {
      url.username = "REDACTED"
      url.password = "REDACTED"
    }
    span.attribute("url.full", url.toString())
    span.attribute("url.path", url.pathname)
    if (url.search.length > 1) span.attribute("url.query", url.search.slice(1))
    span.attribute("url.scheme", url.protocol.slice(0, -1))
  }
  const userAgent = request.headers["user-agent"]
  if (userAgent !== undefined) span.attribute("user_agent.original", userAgent)
  describeHeaders(span, "request", request.headers, redactedNames)
  if (request.remoteAddress._tag === "Some") span.attribute("client.address", request.remoteAddress.value)
}

const describeHeaders = (
  span: Tracer.Span,
  of: "request" | "response",
  headers: Headers.Headers,
  redactedNames: RedactedNames
): void => {
  for (const [name, value] of Object.entries(Headers.redact(headers, redactedNames))) {
    span.attribute(`http.${of}.header.${name}`, String(value))
  }
}

export const describeResponse = (
  span: Tracer.Span,
  exit: Exit.Exit<HttpServerResponse, unknown>,
  redactedNames: RedactedNames
): void => {
  const { headers, status } = HttpServerError.exitResponse(exit)
  span.attribute("http.response.status_code", status)
  describeHeaders(span, "response", headers, redactedNames)
}

/** Runs the app in a span of the current tracer. The platform's middleware, which is not exported. */
export const tracer = (app: Default<unknown>): Default<unknown> =>
  Effect.withFiberRuntime((fiber) => {
    const context = fiber.currentContext as Context.Context<Request>
    const request = Context.unsafeGet(context, HttpServerRequest.HttpServerRequest)
    if (fiber.getFiberRef(HttpMiddleware.currentTracerDisabledWhen)(request)) return app
    const redactedNames = fiber.getFiberRef(Headers.currentRedactedNames)
    const parent = Option.getOrUndefined(HttpTraceContext.fromHeaders(request.headers))
    return Effect.useSpan(
      Context.get(context, HttpMiddleware.SpanNameGenerator)(request),
      { parent, kind: "server", captureStackTrace: false },
      (span) => {
        describeRequest(span, request, redactedNames)
        return Effect.flatMap(Effect.exit(Effect.withParentSpan(app, span)), (exit) => {
          describeResponse(span, exit, redactedNames)
          return exit
        })
      }
    )
  })
