import { Duration, Effect, type Scope } from "effect"
import type { EventEmitter } from "node:events"
import type * as Http from "node:http"
import type { Http2SecureServer, Http2Server } from "node:http2"
import type * as Net from "node:net"
import * as Drain from "../../../core/Drain.js"
import { Shutdown } from "../../../core/Shutdown.js"
import type { BudgetError } from "../../../core/ShutdownConfig.js"
import type { Exchange } from "./connection.js"
import { ConnectionDrainPolicy } from "./connectionDrainPolicy.js"
import { ConnectionRegistry } from "./connectionRegistry.js"
import { closeConnections, drainSteps, followLameDuck } from "./drainSteps.js"
import { stopListening } from "./listener.js"
import { isListenerExchange, isStreaming, listenerExchanges } from "./listenerExchange.js"
import { drainConfig, type NodeServerDrainOptions } from "./options.js"
import { rejectUpgrade } from "./upgrade.js"

/**
 * A server of `node:http`, `node:https` or `node:http2`, whose secure server may also speak HTTP/1.1 (`allowHTTP1`).
 *
 * @since 0.1.0
 * @category models
 */
export type NodeServer = Http.Server | Http2Server | Http2SecureServer

/**
 * Drains a Node server whose requests other code handles, such as Express, Fastify, Hono or listeners of `node:http`. Its
 * connections are treated as those of an `HttpServer`: see docs/http.md. The drain belongs to the current scope, so it
 * comes before the release of what was acquired earlier. Call it before the server listens. It does not listen itself.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { HttpServer } from "lastcall"
 * import { createServer } from "node:http"
 *
 * const Server = Layer.scopedDiscard(Effect.gen(function*() {
 *   const server = createServer((_, response) => response.end("hello"))
 *   yield* HttpServer.drain(server)
 *   server.listen(3000)
 * }))
 * ```
 *
 * **Promised:** requests in flight get their response, and the last one of a connection says `Connection: close`. A request
 * that exceeds `drainTimeout` gets a 503, or a reset where its response is half sent, and counts as cut. WebSockets, such
 * as those of `ws` and Socket.IO, get a close frame with 1001, and have `streamTimeout` to close; event streams end.
 *
 * **Not promised:** that the work of a listener ends with its request: it cannot be interrupted. Connections that were
 * open before the call are drained from their next request on.
 *
 * Fails with a `BudgetError` when a timeout can never be reached within the grace period.
 *
 * @since 0.1.0
 * @category constructors
 */
export const drain = (
  server: NodeServer,
  options: NodeServerDrainOptions = {}
): Effect.Effect<void, BudgetError, Scope.Scope> =>
  Effect.gen(function*() {
    const config = drainConfig(options)
    const shutdown = yield* Shutdown
    const clock = yield* Effect.clock
    const policy = new ConnectionDrainPolicy(config.connectionTimeouts, () => clock.unsafeCurrentTimeMillis())
    const registry = new ConnectionRegistry(policy, listenerExchanges)
    const flushTimeout = Duration.millis(config.connectionTimeouts.idleLinger)
    yield* Effect.forkScoped(Effect.interruptible(followLameDuck(shutdown, policy)))
    yield* Effect.forkScoped(Effect.interruptible(registry.sessions.resumeReading))
    yield* Drain.acquire({
      ...config.timeouts,
      name: config.name,
      acquire: Effect.sync(() => intercept(server, registry)),
      ...drainSteps(policy),
      quiesce: () =>
        stopListening(server, () => {
          for (const { exchanges } of policy.connections) {
            exchanges.forEach((exchange) => reportStream(policy, exchange))
          }
          policy.enterDraining()
        }),
      release: (restore) =>
        closeConnections(policy, flushTimeout).pipe(
          Effect.ensuring(Effect.sync(() => {
            restore()
            server.close()
          }))
        )
    })
  })

/** Reports a response to the policy that may not end by itself. */
const reportStream = (policy: ConnectionDrainPolicy, exchange: Exchange): void => {
  if (isListenerExchange(exchange) && isStreaming(exchange)) policy.onStream(exchange)
}

/**
 * Reports the events of the server to the registry before its listeners get them, whenever they are added: a request that
 * is not accepted must reach none of them. Returns how to undo it.
 */
const intercept = (server: EventEmitter, registry: ConnectionRegistry): () => void => {
  const { emit } = server
  const { policy } = registry
  /** In the drain, when the listener has had time to end a response that it sends at once. */
  const beginRequest = (request: Http.IncomingMessage, response: Http.ServerResponse): boolean => {
    const exchange = registry.beginExchange(request, response, true)
    if (exchange !== undefined && isListenerExchange(exchange)) {
      exchange.onHead = () => {
        if (policy.isDraining) setImmediate(reportStream, policy, exchange)
      }
    }
    return exchange !== undefined
  }
  const accepts = (event: string | symbol, [first, second]: ReadonlyArray<unknown>): boolean => {
    switch (event) {
      case "connection":
        registry.onConnection(first as Net.Socket)
        return true
      case "secureConnection":
        registry.onSecureConnection(first as Net.Socket)
        return true
      case "session":
        registry.onSession(first as Parameters<typeof registry.onSession>[0])
        return true
      case "request":
      case "checkContinue":
      case "checkExpectation":
        return beginRequest(first as Http.IncomingMessage, second as Http.ServerResponse)
      default:
        return true
    }
  }
  server.emit = (event: string | symbol, ...args: Array<unknown>) => {
    const pass = () => emit.call(server, event, ...args)
    if (event !== "upgrade") return accepts(event, args) && pass()
    const [request, socket] = args as [Http.IncomingMessage, Net.Socket]
    registry.afterResponses(request, socket, () => {
      if (beginUpgrade(registry, request, socket)) pass()
    })
    return true
  }
  return () => {
    server.emit = emit
  }
}

const beginUpgrade = (registry: ConnectionRegistry, request: Http.IncomingMessage, socket: Net.Socket): boolean => {
  const exchange = registry.policy.isDraining ? undefined : registry.beginUpgrade(request)
  if (exchange === undefined) {
    rejectUpgrade(socket)
    return false
  }
  registry.policy.onHandlerStarted(exchange)
  socket.once("close", () => registry.policy.onHandlerExited(exchange))
  return true
}
