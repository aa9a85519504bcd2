import { type Duration, Effect, Fiber, FiberSet, type Scope } from "effect"
import type { EventEmitter } from "node:events"
import type * as Http from "node:http"
import type * as Net from "node:net"
import type { Conditions } from "../../../core/Shutdown.js"
import type { LifecycleState } from "../../../core/ShutdownReport.js"
import { AppProbes } from "./appProbes.js"
import type { ConnectionRegistry } from "./connectionRegistry.js"
import type { Http1Exchange } from "./http1.js"
import { matchProbe, type Probe, type ProbePaths, probeResponse } from "./probes.js"
import type { RequestHandler } from "./requestHandler.js"
import { refuseUpgrades, rejectUpgrade, serveAsOrdinary, takesUpgrade } from "./upgrade.js"

/** `Holding` until there is an app, `Open` while it serves, `Quiesced` while it drains, `Closed` after its release. */
type GateState = "Holding" | "Open" | "Quiesced" | "Closed"

export interface RequestGate {
  readonly state: () => GateState
  readonly probes: AppProbes
  /** Has this handle the requests that pass the gate, until the scope closes. */
  readonly attach: (handler: RequestHandler) => Effect.Effect<void, never, Scope.Scope>
  /** Passes the held requests to the app, in order of arrival, and then every request. */
  readonly open: Effect.Effect<void>
  /** Still passes requests of open connections to the app, and rejects upgrades. */
  readonly quiesce: Effect.Effect<void>
  /** Holds requests until the next app. */
  readonly hold: Effect.Effect<void>
  /** Rejects the held requests, and then every request. */
  readonly close: Effect.Effect<void>
}

export interface RequestGateOptions {
  readonly server: Net.Server
  readonly registry: ConnectionRegistry
  /** Gets the `upgrade` events that pass the gate. */
  readonly app: EventEmitter
  readonly probes: ProbePaths
  readonly readyWhileDraining: boolean
  readonly lifecycleState: () => LifecycleState
  readonly conditions: () => Conditions
  readonly startTimeout: Duration.Duration
  readonly maxHeld: number
}

interface HeldRequest {
  readonly dispatch: () => void
  readonly reject: () => void
  readonly timer: Fiber.RuntimeFiber<void>
}

const rejectRequest = (exchange: Http1Exchange) => {
  exchange.announceClose()
  exchange.response.writeHead(503, { "content-length": "0", "retry-after": "1" }).end()
}

/** Stands between the sockets and the app: responds to probes, holds requests until there is an app, rejects them after. */
export const makeRequestGate = (options: RequestGateOptions): Effect.Effect<RequestGate, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { app, registry, server } = options
    const runFork = yield* FiberSet.makeRuntime<never, void>()
    const holdingQueue = new Set<HeldRequest>()
    let state: GateState = "Holding"
    let handler: RequestHandler = rejectRequest

    /** The lifecycle's state; while that is `Running`, whether this server has an app. */
    const probedState = (): LifecycleState => {
      const lifecycleState = options.lifecycleState()
      if (lifecycleState !== "Running") return lifecycleState
      return state === "Open" ? "Running" : state === "Holding" ? "Starting" : "Draining"
    }

    const ofLifecycle = (probe: Probe) =>
      probeResponse(probe, probedState(), options.conditions(), options.readyWhileDraining)

    const probes = new AppProbes({
      match: ({ method, url }) => matchProbe(options.probes, method, url!),
      isRunning: () => probedState() === "Running",
      response: ofLifecycle
    })

    const closesAfter = refuseUpgrades(server)

    const beginExchange = (request: Http.IncomingMessage, response: Http.ServerResponse, counted: boolean) => {
      const exchange = registry.beginExchange(request, response, counted)
      if (exchange !== undefined && closesAfter(request)) {
        exchange.announceClose()
        // Also when the app has set a `Connection` header of its own.
        response.once("finish", () => request.socket.destroySoon())
      }
      return exchange
    }

    const respondToProbe = (probe: Probe, request: Http.IncomingMessage, response: Http.ServerResponse) => {
      const exchange = beginExchange(request, response, false)
      if (exchange === undefined) return
      if (probes.asks(probe)) {
        registry.policy.onHandlerStarted(exchange)
        return probes.handle(exchange)
      }
      const { body, headers, status } = ofLifecycle(probe)
      response.writeHead(status, headers).end(body)
    }

    const holdOrReject = (dispatch: () => void, reject: () => void) => {
      if (holdingQueue.size >= options.maxHeld) return reject()
      const expire = Effect.sync(() => {
        holdingQueue.delete(held)
        reject()
      })
      const held: HeldRequest = {
        dispatch,
        reject,
        timer: runFork(Effect.interruptible(Effect.delay(expire, options.startTimeout)))
      }
      holdingQueue.add(held)
    }

    const admit = (dispatch: () => void, reject: () => void) => {
      switch (state) {
        case "Open":
        case "Quiesced":
          return dispatch()
        case "Holding":
          return holdOrReject(dispatch, reject)
        case "Closed":
          return reject()
      }
    }

    const transition = (to: GateState, onHeld: (held: HeldRequest) => void) =>
      Effect.suspend(() => {
        state = to
        const all = [...holdingQueue]
        holdingQueue.clear()
        all.forEach(onHeld)
        return Fiber.interruptAll(all.map((held) => held.timer))
      })

    const dispatchRequest = (exchange: Http1Exchange) => {
      registry.policy.onHandlerStarted(exchange)
      handler(exchange)
    }

    const onRequest = (request: Http.IncomingMessage, response: Http.ServerResponse, expectsContinue = false) => {
      const probe = matchProbe(options.probes, request.method, request.url!)
      if (probe !== undefined) return respondToProbe(probe, request, response)
      const exchange = beginExchange(request, response, true)
      if (exchange === undefined) return
      // The path of nearly every request: it allocates nothing.
      if (state === "Open" && !expectsContinue) return dispatchRequest(exchange)
      admit(() => {
        if (exchange.complete) return
        if (expectsContinue) response.writeContinue()
        dispatchRequest(exchange)
      }, () => rejectRequest(exchange))
    }

    const onUpgrade = (request: Http.IncomingMessage, socket: Net.Socket, head: Buffer) => {
      if (!takesUpgrade(server, request)) return serveAsOrdinary(server, request, socket, head)
      if (state === "Quiesced") return rejectUpgrade(socket)
      const exchange = registry.beginUpgrade(request)
      if (exchange === undefined) return rejectUpgrade(socket)
      admit(() => {
        if (exchange.complete) return
        registry.policy.onHandlerStarted(exchange)
        app.emit("upgrade", request, socket, head)
      }, () => rejectUpgrade(socket))
    }

    server.on("request", onRequest)
    server.on(
      "checkContinue",
      (request: Http.IncomingMessage, response: Http.ServerResponse) => onRequest(request, response, true)
    )
    server.on(
      "upgrade",
      (request: Http.IncomingMessage, socket: Net.Socket, head: Buffer) =>
        registry.afterResponses(request, socket, () => onUpgrade(request, socket, head))
    )

    return {
      state: () => state,
      probes,
      attach: (next) =>
        Effect.acquireRelease(
          Effect.sync(() => void (handler = next)),
          () => Effect.sync(() => void (handler = rejectRequest))
        ),
      open: transition("Open", (held) => held.dispatch()),
      quiesce: transition("Quiesced", (held) => held.dispatch()),
      hold: transition("Holding", () => {}),
      close: transition("Closed", (held) => held.reject())
    }
  })
