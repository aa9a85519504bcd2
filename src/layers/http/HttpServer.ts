/**
 * The HTTP server of `@effect/platform`, with a drain: requests in flight get their response, and every connection is
 * closed, before anything that the handlers use is released.
 *
 * This module is a superset of `@effect/platform`'s `HttpServer`: everything that an app uses of that one is here under
 * the same name, and the service is the same Tag. To migrate, import `HttpServer` from `lastcall` and replace
 * `NodeHttpServer.layer` by `HttpServer.layer`; nothing else changes. Where both modules are imported, name the
 * platform's (`HttpServer as Platform`): either one's `serve` works with either one's layers.
 *
 * Four names differ. `make` takes a Node server, as `NodeHttpServer.make` does. `layerContext` is that of
 * `NodeHttpServer`. `logAddress` and `withLogAddress` write an IPv6 address with the brackets that a URL needs.
 *
 * @example
 * ```ts
 * import { HttpRouter, HttpServerResponse } from "@effect/platform"
 * import { Layer } from "effect"
 * import { HttpServer } from "lastcall"
 * import { createServer } from "node:http"
 *
 * const routes = HttpRouter.empty.pipe(
 *   HttpRouter.get("/", HttpServerResponse.text("hello"))
 * )
 *
 * const App = HttpServer.serve(routes).pipe(
 *   Layer.provide(HttpServer.layer(createServer, { port: 3000 }))
 * )
 * ```
 *
 * @module
 * @since 0.1.0
 */
import type { Etag, HttpClient, HttpPlatform, HttpServerError } from "@effect/platform"
import type * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { HttpServer, layerTestClient } from "@effect/platform/HttpServer"
import { Config, type ConfigError, Effect, Layer, type Scope } from "effect"
import * as Http from "node:http"
import { drain, type NodeServer } from "./internal/drainNodeServer.js"
import { ListenError, type ListenOptions } from "./internal/listener.js"
import {
  defaults,
  type DrainOptions,
  type NodeServerDrainOptions,
  type Options,
  serverConfig
} from "./internal/options.js"
import { makeServer } from "./internal/server.js"

/**
 * The exports of `@effect/platform`'s `HttpServer`, under the same names.
 *
 * @since 0.1.0
 * @category re-exports
 */
export * from "./internal/platformHttpServer.js"

export {
  defaults,
  drain,
  type DrainOptions,
  ListenError,
  type ListenOptions,
  type NodeServer,
  type NodeServerDrainOptions,
  type Options
}

/**
 * Makes a server that listens, and holds requests until it serves an app.
 *
 * The drain belongs to *serving*: it runs in the scope of `serve` or `serveEffect`, and ends before anything that the
 * handlers use is released, however layers were provided.
 *
 * Fails with a `ListenError` when the server cannot listen, and with a `ServeError` when the budget of `launch` can never
 * hold a timeout. A count or a duration that is negative or NaN is a defect.
 *
 * **Promised:** every request that a handler got has its response, or is interrupted at a timeout and counted as cut; then
 * every socket is closed. A response that is cut after a part of it was sent does not look complete: its connection, or
 * its HTTP/2 stream, is reset. What handlers gave to `TaskSupervisor.fork` is awaited after that, in the same scope. An
 * HTTP/2 client is asked to close by GOAWAY where an HTTP/1.1 client is asked by `Connection: close`.
 *
 * **Not promised:** connections that the kernel has accepted and Node has not when the listener closes, and requests that
 * arrive after `idleLinger`, are reset.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  evaluate: () => NodeServer,
  options: Options
): Effect.Effect<HttpServer, HttpServerError.ServeError, Scope.Scope> =>
  Effect.suspend(() => makeServer(evaluate, serverConfig(options)))

/**
 * Provides the server alone, for apps that bring their own platform services. Fails with a `ListenError` when the server
 * cannot listen.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerServer = (
  evaluate: () => NodeServer,
  options: Options
): Layer.Layer<HttpServer, HttpServerError.ServeError> => Layer.scoped(HttpServer, make(evaluate, options))

/**
 * Makes a listener of a Node server's `request` event from an app. `NodeHttpServer.makeHandler`, for apps that run inside
 * a server of their own.
 *
 * **Not promised:** a drain. The server and its connections are those of the caller.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeHandler: typeof NodeHttpServer.makeHandler = NodeHttpServer.makeHandler

/**
 * Provides what handlers use of the platform: `HttpPlatform`, `Etag`, and the file system, paths, commands and workers of
 * Node.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerContext: Layer.Layer<HttpPlatform.HttpPlatform | Etag.Generator | NodeContext.NodeContext> =
  NodeHttpServer.layerContext

/**
 * Provides the server, and what handlers use of the platform. Takes the place of `NodeHttpServer.layer`, and logs nothing,
 * as that one: add `withLogAddress`. Fails with a `ListenError` when the server cannot listen.
 *
 * @example
 * ```ts
 * import { HttpRouter, HttpServerResponse } from "@effect/platform"
 * import { Layer } from "effect"
 * import { HttpServer } from "lastcall"
 * import { createServer } from "node:http"
 *
 * const App = HttpRouter.empty.pipe(
 *   HttpRouter.get("/", HttpServerResponse.text("hello")),
 *   HttpServer.serve(),
 *   Layer.provide(HttpServer.layer(createServer, { port: 3000, drainTimeout: "10 seconds" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  evaluate: () => NodeServer,
  options: Options
): Layer.Layer<
  HttpPlatform.HttpPlatform | Etag.Generator | NodeContext.NodeContext | HttpServer,
  HttpServerError.ServeError
> => Layer.mergeAll(layerServer(evaluate, options), layerContext)

/**
 * As `layer`, with options from a `Config`. Also fails with a `ConfigError`.
 *
 * @example
 * ```ts
 * import { Config } from "effect"
 * import { HttpServer } from "lastcall"
 * import { createServer } from "node:http"
 *
 * const Server = HttpServer.layerConfig(createServer, {
 *   port: Config.integer("PORT"),
 *   drainTimeout: Config.duration("DRAIN_TIMEOUT")
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  evaluate: () => NodeServer,
  options: Config.Config.Wrap<Options>
): Layer.Layer<
  HttpPlatform.HttpPlatform | Etag.Generator | NodeContext.NodeContext | HttpServer,
  ConfigError.ConfigError | HttpServerError.ServeError
> =>
  Layer.mergeAll(
    Layer.scoped(
      HttpServer,
      Effect.flatMap(Config.unwrap(options), (options) => make(evaluate, options))
    ),
    layerContext
  )

/**
 * Provides a server on a free port of 127.0.0.1, and an `HttpClient` whose requests go to it. For tests.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTest: Layer.Layer<
  HttpClient.HttpClient | HttpServer | HttpPlatform.HttpPlatform | Etag.Generator | NodeContext.NodeContext,
  HttpServerError.ServeError
> = layerTestClient.pipe(
  Layer.provide(NodeHttpClient.layerWithoutAgent),
  Layer.provide(NodeHttpClient.makeAgentLayer({ keepAlive: false })),
  Layer.provideMerge(Layer.mergeAll(
    Layer.scoped(HttpServer, make(() => Http.createServer(), { port: 0, host: "127.0.0.1" })),
    layerContext
  ))
)
