import type { HttpServer } from "@effect/platform"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, type Scope } from "effect"
import { EventEmitter } from "node:events"
import type * as Http from "node:http"

/**
 * Stands in for the server towards `NodeHttpServer`: it never listens and never closes. What stock registers here is
 * called when the gate says so, while the sockets are ours.
 */
class StandIn extends EventEmitter {
  readonly listening = false
  listen(_options: unknown, listening: () => void): this {
    listening()
    return this
  }
  address() {
    return { address: "127.0.0.1", family: "IPv4", port: 0 }
  }
}

export interface Stock {
  /** Emits `request` and `upgrade` to the handlers of `serve`. */
  readonly events: EventEmitter
  readonly server: HttpServer.HttpServer
}

/**
 * The stock server, made over a stand-in: request type, answers, multipart and WebSockets are stock's own, so that an
 * app cannot tell the difference.
 */
export const makeStock: Effect.Effect<Stock, never, Scope.Scope> = Effect.gen(function*() {
  const events = new StandIn()
  const server = yield* Effect.orDie(NodeHttpServer.make(() => events as unknown as Http.Server, {}))
  return { events, server }
})
