/**
 * `NodeHttpServer`, draining: the same service under the same tag, so that an app of `@effect/platform` changes its
 * import and nothing else.
 *
 * @since 0.1.0
 */
import type { Etag, HttpClient, HttpPlatform, HttpServerError } from "@effect/platform"
import type * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Platform from "@effect/platform/HttpServer"
import { Config, type ConfigError, Context, Duration, Effect, Layer, Scope } from "effect"
import * as Http from "node:http"
import type { Http2SecureServer, Http2Server } from "node:http2"
import type * as Net from "node:net"
import type { Timeouts } from "../../core/Drain.js"
import * as TaskSupervisor from "../../core/TaskSupervisor.js"
import { formatAddress, ListenError } from "./internal/listen.js"
import { makeServer, type Plan } from "./internal/makeServer.js"

export {
  /**
   * The server could not listen. It is a `ServeError`, as `NodeHttpServer` fails with, whose message is one line for
   * people: where, why, and what to do about it.
   *
   * @since 0.1.0
   * @category errors
   */
  ListenError
}

/**
 * What serves: a server of `node:http`, `node:https` or `node:http2`, whose secure server may also speak HTTP/1.1
 * (`allowHTTP1`). A session of HTTP/2 is told by GOAWAY where a connection of HTTP/1.1 is told by `Connection: close`:
 * with an answer, from lame duck on, or once it has lingered. Streams that cross it are refused, not lost.
 *
 * @since 0.1.0
 * @category models
 */
export type NodeServer = Http.Server | Http2Server | Http2SecureServer

/**
 * How a server waits. All of it is optional, and every wait also ends when the budget of the shutdown does.
 *
 * @since 0.1.0
 * @category models
 */
export interface DrainOptions extends Timeouts {
  /** The name in the report: `"http"` by default. */
  readonly name?: string | undefined
  /**
   * How long an idle connection is kept once the server drains. 200 milliseconds by default: a request that is on its
   * way already is answered, and told `Connection: close`, where closing at once would reset it.
   */
  readonly idleLinger?: Duration.DurationInput | undefined
  /**
   * How long a drain waits for a request that is half sent: one whose body stands still, or whose head is not whole, is
   * answered with 408. 2 seconds by default. Node's own timeouts are minutes, and are enforced too.
   */
  readonly stallTimeout?: Duration.DurationInput | undefined
  /**
   * How long event streams and WebSockets may go on in a drain. `Shutdown.draining` tells their handlers at once, and a
   * WebSocket is closed with 1001 at once; what has not ended by then is interrupted. 5 seconds by default.
   */
  readonly streamTimeout?: Duration.DurationInput | undefined
  /**
   * How long a request that came before the app was ready is held. 10 seconds by default, less than most proxies
   * wait; then it is answered with 503.
   */
  readonly startTimeout?: Duration.DurationInput | undefined
  /** How many requests are held at a time before the app is ready. 1,000 by default; more are answered with 503. */
  readonly maxHeld?: number | undefined
  /**
   * The paths of the probes, `/livez` and `/readyz` by default, and `false` for a probe, or all of them, that the app
   * answers itself. They are answered from the moment the server listens, before there is an app.
   */
  readonly probes?:
    | false
    | { readonly livez?: string | false | undefined; readonly readyz?: string | false | undefined }
    | undefined
}

/**
 * Where to listen, as `net.Server.listen` takes it, and how to wait.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Net.ListenOptions, DrainOptions {}

/**
 * @since 0.1.0
 * @category defaults
 */
export const defaults = {
  name: "http",
  idleLinger: Duration.millis(200),
  stallTimeout: Duration.seconds(2),
  streamTimeout: Duration.seconds(5),
  startTimeout: Duration.seconds(10),
  maxHeld: 1000,
  probes: { livez: "/livez", readyz: "/readyz" }
}

/** The owner of the work that handlers leave behind. Made by the first of it: most servers have none to report. */
const tasks = (options: TaskSupervisor.Options) =>
  Effect.gen(function*() {
    // A scope of its own, placed now: what is made later in the current one would be released before the requests.
    const scope = yield* Effect.acquireRelease(Scope.make(), Scope.close)
    const supervisor = yield* Effect.cached(Effect.uninterruptible(Scope.extend(TaskSupervisor.make(options), scope)))
    return Context.make(TaskSupervisor.TaskSupervisor, {
      run: (task) => Effect.flatMap(supervisor, (supervisor) => supervisor.run(task))
    })
  })

const plan = (options: Options): Plan => {
  const {
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
    maxHeld,
    timeouts: { drainTimeout, releaseTimeout },
    services: tasks({ name: `${name} tasks`, drainTimeout, releaseTimeout }),
    bounds: {
      idleLinger: Duration.toMillis(idleLinger),
      stallTimeout: Duration.toMillis(stallTimeout),
      streamTimeout: Duration.toMillis(streamTimeout)
    },
    startTimeout: Duration.decode(startTimeout),
    probes: probes === false
      ? { livez: false, readyz: false }
      : { livez: probes.livez ?? defaults.probes.livez, readyz: probes.readyz ?? defaults.probes.readyz }
  }
}

/**
 * A server that listens when this is acquired, and holds requests until it is given an app to serve.
 *
 * The drain is part of *serving*: it is in the scope of `HttpServer.serve`, so that it is over before anything the
 * handlers use is released. Every request that was taken is answered, or interrupted at its bound and counted as cut,
 * and every socket is closed at the end. What handlers hand to `TaskSupervisor.fork` is waited for after that, in the
 * same scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  evaluate: () => NodeServer,
  options: Options
): Effect.Effect<Platform.HttpServer, HttpServerError.ServeError, Scope.Scope> =>
  Effect.suspend(() => makeServer(evaluate, plan(options)))

const logged = (evaluate: () => NodeServer, options: Options) =>
  Effect.tap(make(evaluate, options), (server) => Effect.logInfo(`listening on ${formatAddress(server.address)}`))

/**
 * The server alone. Logs where it listens.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerServer = (
  evaluate: () => NodeServer,
  options: Options
): Layer.Layer<Platform.HttpServer, HttpServerError.ServeError> =>
  Layer.scoped(Platform.HttpServer, logged(evaluate, options))

/**
 * What handlers use of the platform: `HttpPlatform`, `Etag`, and Node's file system, path, commands and workers.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerContext: Layer.Layer<HttpPlatform.HttpPlatform | Etag.Generator | NodeContext.NodeContext> =
  NodeHttpServer.layerContext

/**
 * The server and what its handlers use: in the place of `NodeHttpServer.layer`.
 *
 * @example
 * ```ts
 * import { HttpRouter, HttpServer as Platform, HttpServerResponse } from "@effect/platform"
 * import { Layer } from "effect"
 * import { HttpServer } from "lastcall"
 * import { createServer } from "node:http"
 *
 * const App = HttpRouter.empty.pipe(
 *   HttpRouter.get("/", HttpServerResponse.text("hello")),
 *   Platform.serve(),
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
  HttpPlatform.HttpPlatform | Etag.Generator | NodeContext.NodeContext | Platform.HttpServer,
  HttpServerError.ServeError
> => Layer.mergeAll(layerServer(evaluate, options), layerContext)

/**
 * The same, its options from a `Config`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  evaluate: () => NodeServer,
  options: Config.Config.Wrap<Options>
): Layer.Layer<
  HttpPlatform.HttpPlatform | Etag.Generator | NodeContext.NodeContext | Platform.HttpServer,
  ConfigError.ConfigError | HttpServerError.ServeError
> =>
  Layer.mergeAll(
    Layer.scoped(Platform.HttpServer, Effect.flatMap(Config.unwrap(options), (options) => logged(evaluate, options))),
    layerContext
  )

/**
 * A server on a free port, and an `HttpClient` whose requests go to it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTest: Layer.Layer<
  | HttpClient.HttpClient
  | Platform.HttpServer
  | HttpPlatform.HttpPlatform
  | Etag.Generator
  | NodeContext.NodeContext,
  HttpServerError.ServeError
> = Platform.layerTestClient.pipe(
  Layer.provide(NodeHttpClient.layerWithoutAgent),
  Layer.provide(NodeHttpClient.makeAgentLayer({ keepAlive: false })),
  Layer.provideMerge(Layer.mergeAll(
    Layer.scoped(Platform.HttpServer, make(() => Http.createServer(), { port: 0, host: "127.0.0.1" })),
    layerContext
  ))
)
