import type { HttpServerError } from "@effect/platform"
import * as HttpServer from "@effect/platform/HttpServer"
import { type Context, Duration, Effect, FiberSet, Ref, Runtime, Scope } from "effect"
import type * as Net from "node:net"
import type * as Drain from "../../../core/Drain.js"
import { bounded } from "../../../core/internal/bounded.js"
import { Shutdown } from "../../../core/Shutdown.js"
import { Connections } from "./connections.js"
import { destroyAll } from "./drainServer.js"
import { type Bounds, Fates } from "./fates.js"
import { makeGate } from "./gate.js"
import { listen } from "./listen.js"
import type { Paths } from "./probes.js"
import { serve } from "./serve.js"
import { makeStock } from "./standIn.js"
import { stopListening } from "./stopListening.js"

export interface Plan {
  readonly name: string
  readonly timeouts: Drain.Timeouts
  readonly bounds: Bounds
  readonly startTimeout: Duration.Duration
  readonly maxHeld: number
  readonly probes: Paths
  readonly listen: Net.ListenOptions
  readonly services: Effect.Effect<Context.Context<never>, never, Scope.Scope>
}

const setUp = (evaluate: () => Net.Server, plan: Plan) =>
  Effect.gen(function*() {
    const shutdown = yield* Shutdown
    const runSync = Runtime.runSync(yield* Effect.runtime<never>())
    const scope = yield* Scope.make()
    const server = evaluate()
    const clock = yield* Effect.clock
    const fates = new Fates(plan.bounds, () => clock.unsafeCurrentTimeMillis())
    const connections = new Connections(fates)
    const flush = Duration.millis(plan.bounds.idleLinger)
    const closing = yield* Ref.make(Effect.void)
    const over = yield* Ref.make(false)
    const { events, server: stock } = yield* Scope.extend(makeStock, scope)
    const gate = yield* Scope.extend(
      makeGate({
        ...plan,
        server,
        connections,
        stock: events,
        lifecycle: () => runSync(shutdown.state),
        conditions: () => runSync(shutdown.conditions)
      }),
      scope
    )
    const log = yield* Scope.extend(FiberSet.makeRuntime<never>(), scope)
    // Permanent: an `error` that nobody listens for ends the process. What keeps it from listening is a failure instead.
    server.on("error", (error) => server.listening && log(Effect.logWarning("HTTP server", error)))
    // Before Node's own listeners, which make the session of a connection over HTTP/2.
    server.prependListener("connection", connections.add)
    server.prependListener("secureConnection", connections.secure)
    server.on("session", connections.session)
    const within = Duration.decode(plan.timeouts.releaseTimeout ?? shutdown.config.releaseTimeout)
    yield* Effect.addFinalizer((exit) =>
      Ref.set(over, true).pipe(
        Effect.zipRight(stopListening(server)),
        Effect.zipRight(gate.close),
        Effect.zipRight(destroyAll(fates, flush)),
        Effect.zipRight(Scope.close(scope, exit)),
        // Only now, because it also cuts idle connections. It stops a timer of Node's.
        Effect.ensuring(Effect.sync(() => server.close())),
        (release) =>
          Effect.flatMap(shutdown.remaining, (remaining) =>
            bounded({ within: Duration.min(within, remaining) })(release)),
        // Done long ago, unless the app was served in a scope that outlives the server, as tests like to do.
        (release) =>
          Effect.zipRight(Effect.flatten(Ref.get(closing)), release)
      )
    )
    return { server, fates, flush, gate, stock, closing, over }
  }).pipe(Effect.uninterruptible)

/**
 * A server that listens, answers probes and holds everything else until it is given an app to serve. Its own release
 * is for the case that it never got one: what an app needs is in `serve`.
 */
export const makeServer = (
  evaluate: () => Net.Server,
  plan: Plan
): Effect.Effect<HttpServer.HttpServer, HttpServerError.ServeError, Scope.Scope> =>
  Effect.gen(function*() {
    const made = yield* setUp(evaluate, plan)
    const address = yield* listen(made.server, plan.listen)
    const there = address._tag === "TcpAddress" ? { ...plan.listen, port: address.port } : plan.listen
    const reopen = Effect.if(Ref.get(made.over), {
      onTrue: () => Effect.dieMessage("This HttpServer is closed: an app is served in the scope of its server."),
      onFalse: () => Effect.orDie(listen(made.server, there))
    }).pipe(
      Effect.zipRight(Effect.sync(() => made.fates.serve())),
      Effect.zipRight(made.gate.hold)
    )
    return HttpServer.make({ address, serve: serve({ ...plan, ...made, reopen }) })
  })
