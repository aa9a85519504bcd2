import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerError from "@effect/platform/HttpServerError"
import { type Context, Duration, Effect, FiberSet, Ref, Runtime, Scope } from "effect"
import { EventEmitter } from "node:events"
import type * as Http from "node:http"
import type * as Net from "node:net"
import type * as Drain from "../../../core/Drain.js"
import { bounded } from "../../../core/internal/bounded.js"
import { drainTimeouts } from "../../../core/internal/drainTimeouts.js"
import { unsafeMonotonicMillis } from "../../../core/internal/monotonic.js"
import { Shutdown } from "../../../core/Shutdown.js"
import type { BudgetError } from "../../../core/ShutdownConfig.js"
import { ConnectionDrainPolicy, type ConnectionTimeouts } from "./connectionDrainPolicy.js"
import { ConnectionRegistry } from "./connectionRegistry.js"
import { closeConnections } from "./drainSteps.js"
import { listen, type ListenOptions, stopListening } from "./listener.js"
import type { ProbePaths } from "./probes.js"
import { makeRequestGate } from "./requestGate.js"
import { serve } from "./serve.js"
import { activated } from "./socketActivation.js"

/** The options of a server, with their defaults applied. */
export interface ServerConfig {
  readonly name: string
  readonly timeouts: Drain.Timeouts
  readonly daemonTimeout: Duration.Duration
  readonly connectionTimeouts: ConnectionTimeouts
  readonly startTimeout: Duration.Duration
  readonly maxHeld: number
  readonly probes: ProbePaths
  readonly readyWhileDraining: boolean
  readonly listen: ListenOptions
  readonly services: Effect.Effect<Context.Context<never>, never, Scope.Scope>
}

/**
 * Takes the place of the Node server inside `NodeHttpServer`. It never listens and never closes: it only holds the
 * listeners that `NodeHttpServer` adds, and the gate emits the upgrades that pass. The sockets stay outside.
 */
class FakeNodeServer extends EventEmitter {
  readonly listening = false
  listen(_options: unknown, onListening: () => void): this {
    onListening()
    return this
  }
  address() {
    return { address: "127.0.0.1", family: "IPv4", port: 0 }
  }
}

/**
 * `NodeHttpServer` over a fake Node server, for upgrades: WebSockets are the platform's own.
 */
const makeUpstream = Effect.gen(function*() {
  const app = new FakeNodeServer()
  const upstream = yield* Effect.orDie(NodeHttpServer.make(() => app as unknown as Http.Server, {}))
  return { app, upstream }
})

/** Wires gate, registry and policy to the Node server, which does not listen yet, and adds the release of all of them. */
const setUp = (evaluate: () => Net.Server, config: ServerConfig) =>
  Effect.gen(function*() {
    const shutdown = yield* Shutdown
    const runSync = Runtime.runSync(yield* Effect.runtime<never>())
    const scope = yield* Scope.make()
    const nodeServer = evaluate()
    const clock = yield* Effect.clock
    const policy = new ConnectionDrainPolicy(config.connectionTimeouts, () => unsafeMonotonicMillis(clock))
    const registry = new ConnectionRegistry(policy)
    yield* Scope.extend(Effect.forkScoped(Effect.interruptible(registry.sessions.resumeReading)), scope)
    const flushTimeout = Duration.millis(config.connectionTimeouts.idleLinger)
    const drainApp = yield* Ref.make(Effect.void)
    const released = yield* Ref.make(false)
    const { app, upstream } = yield* Scope.extend(makeUpstream, scope)
    const gate = yield* Scope.extend(
      makeRequestGate({
        ...config,
        server: nodeServer,
        registry,
        app,
        lifecycleState: () => runSync(shutdown.state),
        conditions: () => runSync(shutdown.conditions)
      }),
      scope
    )
    const log = yield* Scope.extend(FiberSet.makeRuntime<never>(), scope)
    // Never removed: an `error` event without a listener ends the process. `listen` handles errors before listening.
    nodeServer.on("error", (error) => nodeServer.listening && log(Effect.logWarning("HTTP server", error)))
    // Before Node's own listeners, which create the session of an HTTP/2 connection.
    nodeServer.prependListener("connection", registry.onConnection)
    nodeServer.prependListener("secureConnection", registry.onSecureConnection)
    nodeServer.on("session", registry.onSession)
    const releaseTimeout = Duration.decode(config.timeouts.releaseTimeout ?? shutdown.config.releaseTimeout)
    yield* Effect.addFinalizer((exit) =>
      Ref.set(released, true).pipe(
        Effect.zipRight(stopListening(nodeServer)),
        Effect.zipRight(gate.close),
        Effect.zipRight(closeConnections(policy, flushTimeout)),
        Effect.zipRight(Scope.close(scope, exit)),
        // Last, because it closes idle connections too. It also stops a timer of the Node server.
        Effect.ensuring(Effect.sync(() => nodeServer.close())),
        (release) =>
          Effect.flatMap(
            shutdown.remaining,
            (remaining) => bounded({ within: Duration.min(releaseTimeout, remaining) })(release)
          ),
        // Usually done before: only an app that is served in a longer scope than its server is drained here.
        (release) => Effect.zipRight(Effect.flatten(Ref.get(drainApp)), release)
      )
    )
    return { nodeServer, policy, flushTimeout, gate, upstream, drainApp, released }
  }).pipe(Effect.uninterruptible)

/** The budget of `launch` can never hold a timeout of the server. A `ServeError`, as `NodeHttpServer` fails with. */
class RefusedTimeout extends HttpServerError.ServeError {
  override readonly message: string
  constructor(cause: BudgetError) {
    super({ cause })
    this.message = cause.message
  }
}

/**
 * Makes a server that listens, responds to probes, and holds other requests until it serves an app. `serve` drains the
 * app; the release here covers a server that never served one.
 */
export const makeServer = (
  evaluate: () => Net.Server,
  config: ServerConfig
): Effect.Effect<HttpServer.HttpServer, HttpServerError.ServeError, Scope.Scope> =>
  Effect.gen(function*() {
    // Here, because `serve` fails as the platform's does: never.
    yield* Effect.mapError(
      drainTimeouts({ ...config.timeouts, name: config.name }),
      (error) => new RefusedTimeout(error)
    )
    const server = yield* setUp(evaluate, config)
    const place = yield* activated(config.listen)
    const address = yield* listen(server.nodeServer, place)
    const sameAddress = address._tag === "TcpAddress" ? { ...place, port: address.port } : place
    const reopen = Effect.if(Ref.get(server.released), {
      onTrue: () => Effect.dieMessage("This HttpServer is closed. Serve an app within the scope of its server."),
      onFalse: () =>
        place.fd === undefined
          ? Effect.orDie(listen(server.nodeServer, sameAddress))
          : Effect.dieMessage("An inherited socket is closed with the app that it served. Serve one app on it.")
    }).pipe(
      Effect.zipRight(Effect.sync(() => server.policy.enterRunning())),
      Effect.zipRight(server.gate.hold)
    )
    return HttpServer.make({ address, serve: serve({ ...config, ...server, reopen }) })
  })
