/**
 * The HTTP server of `@effect/platform`, with a drain: requests in flight get their response, and every connection is
 * closed, before anything that the handlers use is released.
 *
 * This module is a superset of `@effect/platform`'s `HttpServer`: everything that an app uses of that one is here under
 * the same name, and the service is the same Tag. To migrate, import `HttpServer` from `lastcall` and replace
 * `NodeHttpServer.layer` by `HttpServer.layer`; nothing else changes. Where both modules are imported, name the
 * platform's (`HttpServer as Platform`): either one's `serve` works with either one's layers.
 *
 * Three names differ. `make` takes a Node server, as `NodeHttpServer.make` does. `layerContext` is that of
 * `NodeHttpServer`. `logAddress` and `withLogAddress` log nothing for a server whose layer has logged its address.
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
import { Config, type ConfigError, Duration, Effect, Layer, type Scope } from "effect"
import * as Http from "node:http"
import type { Http2SecureServer, Http2Server } from "node:http2"
import type { Timeouts } from "../../core/Drain.js"
import { defaultDaemonTimeout } from "../../core/internal/daemons.js"
import { countOption, durationOption } from "../../core/internal/options.js"
import { handlerTasks } from "./internal/handlers.js"
import { ListenError, type ListenOptions, logListening } from "./internal/listener.js"
import { makeServer, type ServerConfig } from "./internal/server.js"

/**
 * The exports of `@effect/platform`'s `HttpServer`, under the same names.
 *
 * @since 0.1.0
 * @category re-exports
 */
export * from "./internal/platformHttpServer.js"

export { ListenError, type ListenOptions }

/**
 * A server of `node:http`, `node:https` or `node:http2`, whose secure server may also speak HTTP/1.1 (`allowHTTP1`).
 *
 * @since 0.1.0
 * @category models
 */
export type NodeServer = Http.Server | Http2Server | Http2SecureServer

/**
 * How a server waits, when it drains and while it starts. Each wait also ends when the budget of the shutdown does.
 *
 * @since 0.1.0
 * @category models
 */
export interface DrainOptions extends Timeouts {
  /** The name in the report. `"http"` by default. */
  readonly name?: string | undefined
  /**
   * How long an idle connection stays open in a drain. 200 milliseconds by default: a request that is already on its way
   * gets a response with `Connection: close`. Closing the connection at once would reset it.
   */
  readonly idleLinger?: Duration.DurationInput | undefined
  /**
   * How long a drain waits for the rest of a request whose head is incomplete, or whose body makes no progress; then the
   * client gets a 408. 2 seconds by default, because Node's own timeouts, which are enforced too, are minutes.
   */
  readonly stallTimeout?: Duration.DurationInput | undefined
  /**
   * How long WebSockets, and responses that are streams without a declared length, may continue in a drain; then their
   * handlers are interrupted, and responses that are half sent are reset. 5 seconds by default. When the drain begins,
   * WebSockets are closed with 1001, `Shutdown.draining` completes, and event streams end whose handler does not wait for
   * it. A stream whose client reads slowly may continue until `drainTimeout`.
   */
  readonly streamTimeout?: Duration.DurationInput | undefined
  /**
   * How long fibers that handlers left behind with `Effect.forkDaemon` may continue, once no request is in flight; then
   * they are interrupted. 5 seconds by default, because fire-and-forget work is short. For a fiber that runs already when
   * the shutdown is requested, the time counts from the request.
   */
  readonly daemonTimeout?: Duration.DurationInput | undefined
  /**
   * How long a request is held that arrives before an app is served; then it gets a 503. 10 seconds by default, less
   * than most proxies wait.
   */
  readonly startTimeout?: Duration.DurationInput | undefined
  /**
   * How many requests are held at a time before an app is served; more get a 503. 1,000 by default, to bound the memory
   * of a slow start.
   */
  readonly maxHeld?: number | undefined
  /**
   * The paths of the probes, `/livez` and `/readyz` by default. `false` leaves a probe, or both, to the app. The server
   * responds to probes from the moment it listens, before an app is served.
   */
  readonly probes?:
    | false
    | { readonly livez?: string | false | undefined; readonly readyz?: string | false | undefined }
    | undefined
}

/**
 * Where to listen, and how to wait.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends ListenOptions, DrainOptions {}

/**
 * The defaults of `Options`. Each has its reason where the option is documented.
 *
 * @since 0.1.0
 * @category defaults
 */
export const defaults = {
  name: "http",
  idleLinger: Duration.millis(200),
  stallTimeout: Duration.seconds(2),
  streamTimeout: Duration.seconds(5),
  daemonTimeout: defaultDaemonTimeout,
  startTimeout: Duration.seconds(10),
  maxHeld: 1000,
  probes: { livez: "/livez", readyz: "/readyz" }
}

const serverConfig = (options: Options): ServerConfig => {
  const {
    daemonTimeout = defaults.daemonTimeout,
    drainTimeout,
    idleLinger = defaults.idleLinger,
    maxHeld = defaults.maxHeld,
    name = defaults.name,
    probes = defaults.probes,
    releaseTimeout,
    stallTimeout = defaults.stallTimeout,
    startTimeout = defaults.startTimeout,
    streamTimeout = defaults.streamTimeout,
    ...listen
  } = options
  return {
    name,
    listen,
    maxHeld: countOption(name, "maxHeld", maxHeld, { least: 0, unlimited: true }),
    timeouts: { drainTimeout, releaseTimeout },
    daemonTimeout: durationOption(name, "daemonTimeout", daemonTimeout),
    services: handlerTasks({ name: `${name} tasks`, drainTimeout, releaseTimeout }),
    connectionTimeouts: {
      idleLinger: Duration.toMillis(durationOption(name, "idleLinger", idleLinger)),
      stallTimeout: Duration.toMillis(durationOption(name, "stallTimeout", stallTimeout, { unlimited: true })),
      streamTimeout: Duration.toMillis(durationOption(name, "streamTimeout", streamTimeout, { unlimited: true }))
    },
    startTimeout: durationOption(name, "startTimeout", startTimeout),
    probes: probes === false
      ? { livez: false, readyz: false }
      : { livez: probes.livez ?? defaults.probes.livez, readyz: probes.readyz ?? defaults.probes.readyz }
  }
}

/**
 * Makes a server that listens, and holds requests until it serves an app. Logs nothing.
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

const makeAndLog = (evaluate: () => NodeServer, options: Options) => Effect.tap(make(evaluate, options), logListening)

/**
 * Provides the server alone, for apps that bring their own platform services. Logs the address that it listens on. Fails
 * with a `ListenError` when the server cannot listen.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerServer = (
  evaluate: () => NodeServer,
  options: Options
): Layer.Layer<HttpServer, HttpServerError.ServeError> => Layer.scoped(HttpServer, makeAndLog(evaluate, options))

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
 * Provides the server, and what handlers use of the platform. Takes the place of `NodeHttpServer.layer`. Logs the address
 * that it listens on. Fails with a `ListenError` when the server cannot listen.
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
      Effect.flatMap(Config.unwrap(options), (options) => makeAndLog(evaluate, options))
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
