import type { HttpApp, HttpMiddleware, HttpServer } from "@effect/platform"
import { type Context, type Duration, Effect, Exit, Ref, Scope } from "effect"
import type * as Net from "node:net"
import * as Drain from "../../../core/Drain.js"
import { Shutdown } from "../../../core/Shutdown.js"
import { destroyAll, drain, interrupt } from "./drainServer.js"
import type { Fates } from "./fates.js"
import type { Gate } from "./gate.js"
import { stopListening } from "./stopListening.js"
import { interruptible, track } from "./track.js"

export interface Served {
  readonly name: string
  readonly timeouts: Drain.Timeouts
  /** How long what was written may take to leave, in the end. */
  readonly flush: Duration.Duration
  readonly server: Net.Server
  readonly fates: Fates
  readonly gate: Gate
  readonly stock: HttpServer.HttpServer
  /** What handlers are given besides: made before the drain, so released after it. */
  readonly services: Effect.Effect<Context.Context<never>, never, Scope.Scope>
  /** Listens again, at the same address: the app before this one has been released. */
  readonly reopen: Effect.Effect<void>
  /** The drain, for whoever releases the server before the app that it serves. */
  readonly closing: Ref.Ref<Effect.Effect<void>>
}

type App = HttpApp.Default<unknown>

/**
 * Serves an app until the current scope closes, and drains there: this scope is closed before anything that the
 * handlers use is released, however `provide` was stacked. The layer of the server itself may be closed later than a
 * database, so it is no place for a drain.
 */
export const serve =
  (served: Served) => (app: App, middleware?: HttpMiddleware.HttpMiddleware): Effect.Effect<void, never, Scope.Scope> =>
    Effect.gen(function*() {
      const { fates, flush, gate, server, stock } = served
      if (gate.state() === "Closed") yield* served.reopen
      if (gate.state() !== "Holding") {
        return yield* Effect.dieMessage("This HttpServer serves an app already: it serves one at a time.")
      }
      const shutdown = yield* Shutdown
      const told = yield* Effect.makeLatch(false)
      /** As handlers see it, this server's drain is the service's: also where nothing was launched. */
      const ofHandlers = { ...shutdown, draining: told.await }

      // Where there is none, answers say close only when nobody can come back to this server any more.
      const lameDuck = shutdown.lameDuck.pipe(
        Effect.zipRight(shutdown.state),
        Effect.map((state) => state === "LameDuck" && fates.tell())
      )

      const tracked = track(fates)
      const handled = interruptible(fates)(app)
      const handlers = middleware === undefined
        ? stock.serve(tracked(handled))
        : stock.serve(handled, (handled) => tracked(middleware(handled)))

      const drained = yield* Scope.make()
      yield* Effect.addFinalizer((exit) => Scope.close(drained, exit))
      yield* Ref.set(served.closing, Scope.close(drained, Exit.void))
      const services = yield* Scope.extend(served.services, drained)

      const scope = yield* Scope.make()
      const attach = handlers.pipe(
        Effect.provide(services),
        Effect.provideService(Shutdown, ofHandlers),
        Effect.zipRight(Effect.forkScoped(lameDuck)),
        Scope.extend(scope),
        // The fibers of handlers are as deaf as the region in which the handlers were attached.
        Effect.interruptible,
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      )

      yield* Scope.extend(drained)(Drain.acquire({
        ...served.timeouts,
        name: served.name,
        acquire: attach,
        quiesce: () =>
          // First, because whoever is told to close comes back with a new connection: there would be no quiet turn.
          stopListening(server, () => fates.drain()).pipe(
            Effect.zipRight(gate.quiesce),
            Effect.zipRight(told.open)
          ),
        drain: () => drain(fates),
        interrupt: () => interrupt(fates),
        release: (_, exit) =>
          gate.close.pipe(
            Effect.zipRight(destroyAll(fates, flush)),
            Effect.zipRight(Scope.close(scope, exit))
          ),
        progress: () => ({
          inFlight: fates.inFlight,
          finished: fates.finished,
          handedBack: 0,
          cut: fates.cutOff
        })
      }))
      yield* gate.open
    })
