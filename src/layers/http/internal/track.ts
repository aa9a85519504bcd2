import type { HttpApp, HttpServerResponse } from "@effect/platform"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import { type Context, Effect, type Fiber } from "effect"
import { find, type Handled } from "./exchange.js"
import type { Fates } from "./fates.js"
import { Upgrade } from "./http1.js"
import { tell } from "./webSocket.js"

type App = HttpApp.Default<unknown>

const isEventStream = (response: HttpServerResponse.HttpServerResponse): boolean =>
  response.headers["content-type"]?.startsWith("text/event-stream") === true

const requestOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): HttpServerRequest.HttpServerRequest =>
  (fiber.currentContext as Context.Context<unknown>).unsafeMap.get(HttpServerRequest.HttpServerRequest.key)

const exchangeOf = (request: HttpServerRequest.HttpServerRequest): Handled | undefined =>
  find(NodeHttpServerRequest.toIncomingMessage(request))

/** Outermost: from here on the fiber is in flight, until it has exited. */
export const track = (fates: Fates) => (app: App): App =>
  Effect.withFiberRuntime((fiber) => {
    const request = requestOf(fiber)
    const exchange = exchangeOf(request)
    if (exchange !== undefined) {
      exchange.fiber = fiber
      fiber.addObserver(() => fates.handled(exchange))
      if (exchange instanceof Upgrade) tell(request, exchange)
    }
    return app
  })

/**
 * Innermost: stock runs a bare app uninterruptibly, so that neither its client nor a deadline could end it. Made once
 * for all requests.
 */
export const interruptible = (fates: Fates) => (app: App): App =>
  Effect.flatMap(
    Effect.interruptible(app),
    (response) => isEventStream(response) ? Effect.as(streaming(fates), response) : Effect.succeed(response)
  )

const streaming = (fates: Fates): Effect.Effect<void, never, HttpServerRequest.HttpServerRequest> =>
  Effect.map(HttpServerRequest.HttpServerRequest, (request) => {
    const exchange = exchangeOf(request)
    if (exchange !== undefined) fates.streaming(exchange)
  })
