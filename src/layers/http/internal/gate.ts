import { type Duration, Effect, Fiber, FiberSet, type Scope } from "effect"
import type { EventEmitter } from "node:events"
import type * as Http from "node:http"
import type * as Net from "node:net"
import type { Duplex } from "node:stream"
import type { Conditions } from "../../../core/Shutdown.js"
import type { LifecycleState } from "../../../core/ShutdownReport.js"
import type { Connections } from "./connections.js"
import type { Answer } from "./http1.js"
import * as Probes from "./probes.js"

/** `Holding` until there is an app, `Open` while it serves, `Quiesced` while it drains, `Closed` when it is gone. */
export type GateState = "Holding" | "Open" | "Quiesced" | "Closed"

export interface Gate {
  readonly state: () => GateState
  /** Sends what was held, in the order in which it came, and everything after it, to the app. */
  readonly open: Effect.Effect<void>
  /** Requests on live connections still go to the app; upgrades are refused. */
  readonly quiesce: Effect.Effect<void>
  /** There will be another app. */
  readonly hold: Effect.Effect<void>
  /** Refuses what is held, and everything after it. */
  readonly close: Effect.Effect<void>
}

export interface GateOptions {
  readonly server: Net.Server
  readonly connections: Connections
  readonly stock: EventEmitter
  readonly probes: Probes.Paths
  /** The state to show in probes while the app serves. */
  readonly lifecycle: () => LifecycleState
  /** What `/readyz` tells besides. */
  readonly conditions: () => Conditions
  readonly startTimeout: Duration.Duration
  readonly maxHeld: number
}

interface Held {
  readonly dispatch: () => void
  readonly refuse: () => void
  readonly timer: Fiber.RuntimeFiber<void>
}

const refusal = { "content-length": "0", "retry-after": "1" }

const refuse = (exchange: Answer) => {
  exchange.sayClose(true)
  exchange.response.writeHead(503, refusal).end()
}

const refuseUpgrade = (socket: Duplex) => {
  const head = Object.entries(refusal).map(([name, value]) => `${name}: ${value}\r\n`).join("")
  socket.end(`HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n${head}\r\n`, () => socket.destroy())
}

/** Stands between the sockets and the app: answers probes, holds requests until there is an app, refuses after it. */
export const makeGate = (options: GateOptions): Effect.Effect<Gate, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { connections, server, stock } = options
    const runFork = yield* FiberSet.makeRuntime<never, void>()
    const held = new Set<Held>()
    let state: GateState = "Holding"

    const stateOfLife = (): LifecycleState => {
      const life = options.lifecycle()
      if (life !== "Running") return life
      return state === "Open" ? "Running" : state === "Holding" ? "Starting" : "Draining"
    }

    const probe = (which: Probes.Probe, request: Http.IncomingMessage, response: Http.ServerResponse) => {
      if (connections.answer(request, response, false) === undefined) return
      const { body, headers, status } = Probes.answer(which, stateOfLife(), options.conditions())
      response.writeHead(status, headers).end(body)
    }

    /** Now, later, or never, as the gate stands. */
    const pass = (dispatch: () => void, refuse: () => void) => {
      if (state === "Open" || state === "Quiesced") return dispatch()
      if (state === "Closed" || held.size >= options.maxHeld) return refuse()
      const expire = Effect.sync(() => {
        held.delete(entry)
        refuse()
      })
      const entry: Held = {
        dispatch,
        refuse,
        timer: runFork(Effect.interruptible(Effect.delay(expire, options.startTimeout)))
      }
      held.add(entry)
    }

    const take = (): ReadonlyArray<Held> => {
      const entries = [...held]
      held.clear()
      return entries
    }

    const settle = (to: GateState, each: (entry: Held) => void) =>
      Effect.suspend(() => {
        state = to
        const entries = take()
        entries.forEach(each)
        return Fiber.interruptAll(entries.map((entry) => entry.timer))
      })

    const onRequest = (request: Http.IncomingMessage, response: Http.ServerResponse, expectsContinue = false) => {
      const which = Probes.match(options.probes, request.method, request.url!)
      if (which !== undefined) return probe(which, request, response)
      const exchange = connections.answer(request, response, true)
      if (exchange === undefined) return
      // The way of nearly every request: it allocates nothing.
      if (state === "Open" && !expectsContinue) return dispatch(exchange, response)
      pass(() => {
        if (exchange.ended) return
        if (expectsContinue) response.writeContinue()
        dispatch(exchange, response)
      }, () => refuse(exchange))
    }

    const dispatch = (exchange: Answer, response: Http.ServerResponse) => {
      connections.fates.handle(exchange)
      stock.emit("request", exchange.request, response)
    }

    const onUpgrade = (request: Http.IncomingMessage, socket: Duplex, head: Buffer) => {
      if (state === "Quiesced") return refuseUpgrade(socket)
      const exchange = connections.upgrade(request)
      if (exchange === undefined) return refuseUpgrade(socket)
      pass(() => {
        if (exchange.ended) return
        connections.fates.handle(exchange)
        stock.emit("upgrade", request, socket, head)
      }, () => refuseUpgrade(socket))
    }

    server.on("request", onRequest)
    server.on("checkContinue", (request: Http.IncomingMessage, response: Http.ServerResponse) =>
      onRequest(request, response, true))
    server.on("upgrade", onUpgrade)

    return {
      state: () =>
        state,
      open: settle("Open", (entry) => entry.dispatch()),
      quiesce: settle("Quiesced", (entry) => entry.dispatch()),
      hold: settle("Holding", () => {}),
      close: settle("Closed", (entry) => entry.refuse())
    }
  })
