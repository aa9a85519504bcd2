import type { HttpApp, HttpMiddleware, HttpServer } from "@effect/platform"
import { type Context, type Duration, Effect, Exit, Ref, Scope } from "effect"
import type * as Net from "node:net"
import * as Drain from "../../../core/Drain.js"
import { makeDaemons } from "../../../core/internal/daemons.js"
import { Shutdown } from "../../../core/Shutdown.js"
import type { ConnectionDrainPolicy } from "./connectionDrainPolicy.js"
import { closeConnections, drainSteps, followLameDuck } from "./drainSteps.js"
import { interruptible, isHandler, observed, track } from "./handlers.js"
import { stopListening } from "./listener.js"
import type { RequestGate } from "./requestGate.js"
import { makeRequestHandler } from "./requestHandler.js"

/** A server that listens, and what serving an app takes. */
export interface ListeningServer {
  readonly name: string
  readonly timeouts: Drain.Timeouts
  readonly daemonTimeout: Duration.Duration
  /** How long `closeConnections` waits for written responses to be sent. */
  readonly flushTimeout: Duration.Duration
  readonly nodeServer: Net.Server
  readonly policy: ConnectionDrainPolicy
  readonly gate: RequestGate
  /** The platform's server behind the gate, which runs the handlers of upgrades. */
  readonly upstream: HttpServer.HttpServer
  /** Services that every handler gets. Acquired before the drain, and so released after it. */
  readonly services: Effect.Effect<Context.Context<never>, never, Scope.Scope>
  /** Listens again at the same address, after the previous app was released. */
  readonly reopen: Effect.Effect<void>
  /** Drains the app that is served now, if any: for a server that is released before its app. */
  readonly drainApp: Ref.Ref<Effect.Effect<void>>
}

type App = HttpApp.Default<unknown>

/**
 * Serves an app until the current scope closes, and drains in that scope: it closes before anything that the handlers
 * use is released, however `provide` was stacked. The scope of the server may close after that of a database.
 */
export const serve = (
  server: ListeningServer
) =>
(app: App, middleware?: HttpMiddleware.HttpMiddleware): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { flushTimeout, gate, nodeServer, policy, upstream } = server
    if (gate.state() === "Closed") yield* server.reopen
    if (gate.state() !== "Holding") {
      return yield* Effect.dieMessage("This HttpServer already serves an app. It serves one at a time.")
    }
    const shutdown = yield* Shutdown
    const draining = yield* Effect.makeLatch(false)
    /** For handlers the drain of their server is the drain of the service, also without `launch`. */
    const handlerShutdown = { ...shutdown, draining: observed(draining.await) }

    const tracked = track(policy)
    const handler = interruptible(policy)(app)
    const attachUpgrades = middleware === undefined
      ? upstream.serve(tracked(handler))
      : upstream.serve(handler, (handler) => tracked(middleware(handler)))
    const attachRequests = Effect.flatMap(makeRequestHandler(policy, app, middleware), gate.attach)
    const attachProbes = gate.probes.attach(app, (app) => makeRequestHandler(policy, app, middleware))

    const drainScope = yield* Scope.make()
    yield* Effect.addFinalizer((exit) => Scope.close(drainScope, exit))
    yield* Ref.set(server.drainApp, Scope.close(drainScope, Exit.void))
    const services = yield* Scope.extend(server.services, drainScope)

    // Released after the requests and before `services`: daemons may use what handlers use.
    const { daemonTimeout, name, timeouts: { releaseTimeout } } = server
    const daemons = yield* Scope.extend(
      makeDaemons({ name, daemonTimeout, releaseTimeout, isUnit: isHandler }),
      drainScope
    )

    const handlerScope = yield* Scope.make()
    const attach = daemons.own(Effect.all([attachUpgrades, attachRequests, attachProbes])).pipe(
      Effect.provide(services),
      Effect.provideService(Shutdown, handlerShutdown),
      Effect.zipRight(Effect.forkScoped(followLameDuck(shutdown, policy))),
      Scope.extend(handlerScope),
      // The fibers of handlers inherit the interruptibility of this region.
      Effect.interruptible,
      Effect.onError((cause) => Scope.close(handlerScope, Exit.failCause(cause)))
    )

    yield* Scope.extend(drainScope)(Drain.acquire({
      ...server.timeouts,
      name: server.name,
      acquire: attach,
      ...drainSteps(policy),
      quiesce: () =>
        // The listener closes first: clients that are asked to close reconnect, and would keep it from becoming quiet.
        stopListening(nodeServer, () => policy.enterDraining()).pipe(
          Effect.zipRight(gate.quiesce),
          Effect.zipRight(draining.open)
        ),
      release: (_, exit) =>
        gate.close.pipe(
          Effect.zipRight(closeConnections(policy, flushTimeout)),
          Effect.zipRight(Scope.close(handlerScope, exit))
        )
    }))
    yield* gate.open
  }).pipe(Effect.catchTag("BudgetError", Effect.die))
