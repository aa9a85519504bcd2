import { type HttpApp, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Deferred, Effect, Queue, type Scope } from "effect"
import type * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { type Client, get } from "../../fixtures/http/client.js"
import type { Serving } from "../../fixtures/http/serving.js"

export type App = HttpApp.Default<never, Scope.Scope>

/** A server of some kind with some app, and how to connect to it. */
export interface Server extends Serving {
  readonly connect: Effect.Effect<Client, never, Scope.Scope>
}

export type Serve = (app: App, options?: HttpServer.DrainOptions) => Effect.Effect<Server, never, Scope.Scope>

/** One shape of a connection and its fate: a test, and a row of the table in docs/http.md. */
export interface Shape {
  readonly shape: string
  readonly fate: string
  readonly test: (serve: Serve) => Effect.Effect<void, never, Scope.Scope>
}

/** Answers with its path; what begins with /slow waits until it is let go. */
export const echo = Effect.gen(function*() {
  const go = yield* Deferred.make<void>()
  const arrivals = yield* Queue.unbounded<string>()
  const app: App = Effect.gen(function*() {
    const { url } = yield* HttpServerRequest.HttpServerRequest
    if (url.startsWith("/slow")) yield* Effect.zipRight(arrivals.offer(url), Deferred.await(go))
    return HttpServerResponse.text(url)
  })
  return { app, started: (n = 1) => Queue.takeN(arrivals, n), go: Deferred.succeed(go, void 0) }
})

/** Answers with the body of its request. */
export const mirror: App = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => request.text).pipe(
  Effect.map(HttpServerResponse.text),
  Effect.orDie
)

/** The server has read what came before this: it answers on another connection. */
export const settled = (server: Server) =>
  Effect.scoped(Effect.gen(function*() {
    const client = yield* server.connect
    yield* client.send(get("/livez", "Connection: close"))
    yield* client.closed
  }))

/** A connection that has had an answer and is kept. */
export const kept = (server: Server) =>
  Effect.tap(server.connect, (client) => Effect.zipRight(client.send(get("/first")), client.until(/\/first$/)))

export const bytes = (text: string) => new TextEncoder().encode(text)
