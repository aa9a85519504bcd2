import { type HttpApp, HttpServerRequest } from "@effect/platform"
import { Effect, type Scope } from "effect"
import type * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { type Client, get } from "../../fixtures/http/client.js"
import type { RunningServer } from "../../fixtures/http/serving.js"

export type App = HttpApp.Default<never, Scope.Scope>

/** A server of some kind with some kind of app, and how to connect to it. */
export interface Server extends RunningServer {
  readonly connect: Effect.Effect<Client, never, Scope.Scope>
}

export type Serve = (app: App, options?: HttpServer.DrainOptions) => Effect.Effect<Server, never, Scope.Scope>

/** What happens to a connection in some situation: a test, and a row of a table in docs/http.md. */
export interface ConnectionCase {
  readonly situation: string
  readonly behavior: string
  readonly test: (serve: Serve) => Effect.Effect<void, never, Scope.Scope>
}

/** Completes when the server has read everything sent before: it responds on this connection, and closes it. */
export const awaitServerReadOver = (client: Client) =>
  Effect.zipRight(client.send(get("/livez", "Connection: close")), client.closed)

/** The same over a new connection, which the server accepts before its drain. */
export const awaitServerRead = (server: Server) => Effect.scoped(Effect.flatMap(server.connect, awaitServerReadOver))

/** A connection that has had a response and stays open. */
export const usedConnection = (server: Server) =>
  Effect.tap(server.connect, (client) => Effect.zipRight(client.send(get("/first")), client.until(/\/first$/)))

export const bytes = (text: string) => new TextEncoder().encode(text)

/** One app for each path. */
export const byPath = (apps: Record<string, App>): App =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ url }) => apps[url]!)
