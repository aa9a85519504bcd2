import type { HttpApp, HttpServerResponse } from "@effect/platform"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import { Context, Effect, type Fiber, Scope } from "effect"
import * as TaskSupervisor from "../../../core/TaskSupervisor.js"
import type { ConnectionDrainPolicy } from "./connectionDrainPolicy.js"
import { exchangeOf, Http1Exchange, type NodeExchange } from "./http1.js"
import { drainable, isStreamed } from "./responseStream.js"
import { closeWebSocketOnDrain, isOfMessage, UpgradeExchange } from "./webSocket.js"

type App = HttpApp.Default<unknown>

const requestOf = (
  fiber: Fiber.RuntimeFiber<unknown, unknown>
): HttpServerRequest.HttpServerRequest | undefined =>
  (fiber.currentContext as Context.Context<unknown>).unsafeMap.get(HttpServerRequest.HttpServerRequest.key)

const exchangeOfRequest = (request: HttpServerRequest.HttpServerRequest): NodeExchange | undefined =>
  exchangeOf(NodeHttpServerRequest.toIncomingMessage(request))

/** Whether the fiber runs a handler. What a handler forks has its request, but is not the fiber of the request. */
export const isHandler = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean => {
  const request = requestOf(fiber)
  return request !== undefined && exchangeOfRequest(request)?.fiber === fiber
}

/**
 * `Shutdown.draining` of handlers: records whose handler waits for it, and so ends by itself. A message of a WebSocket that
 * waits for it, such as a call of `@effect/rpc`, ends only itself.
 */
export const observed = (draining: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    const request = requestOf(fiber)
    const exchange = request === undefined ? undefined : exchangeOfRequest(request)
    if (exchange === undefined || isOfMessage(fiber)) return draining
    exchange.awaitsDraining++
    return Effect.onInterrupt(draining, () => Effect.sync(() => exchange.awaitsDraining--))
  })

/** Keeps an exchange in flight until the fiber of its handler has exited. Goes around the app and its middleware. */
export const track = (policy: ConnectionDrainPolicy) => (app: App): App =>
  Effect.withFiberRuntime((fiber) => {
    const request = requestOf(fiber)!
    const exchange = exchangeOfRequest(request)
    if (exchange !== undefined) {
      exchange.fiber = fiber
      const onExited = () => policy.onHandlerExited(exchange)
      if (exchange instanceof UpgradeExchange) {
        closeWebSocketOnDrain(policy, request, exchange)
        fiber.addObserver(() => exchange.messages.whenNone(onExited))
      } else fiber.addObserver(onExited)
    }
    return app
  })

/**
 * Makes the app interruptible, because NodeHttpServer runs an app without a router uninterruptibly: neither its client
 * nor a deadline could end it. Applied inside the middleware, once for all requests.
 */
export const interruptible = (policy: ConnectionDrainPolicy) => (app: App): App =>
  Effect.flatMap(
    Effect.interruptible(app),
    (response) => isStreamed(response) ? superviseStream(policy, response) : Effect.succeed(response)
  )

const superviseStream = (policy: ConnectionDrainPolicy, response: HttpServerResponse.HttpServerResponse) =>
  Effect.map(HttpServerRequest.HttpServerRequest, (request) => {
    const exchange = exchangeOfRequest(request)
    return exchange instanceof Http1Exchange ? drainable(policy, exchange, response) : response
  })

/** The `TaskSupervisor` of the handlers. It is made when the first task is forked, so that the report has no empty entry. */
export const handlerTasks = (options: TaskSupervisor.Options) =>
  Effect.gen(function*() {
    // Added to the current scope now: a supervisor added later would be released before the requests are drained.
    const scope = yield* Effect.acquireRelease(Scope.make(), Scope.close)
    // The server was made with the same timeouts, and would have refused them.
    const make = Effect.orDie(TaskSupervisor.make(options))
    const supervisor = yield* Effect.cached(Effect.uninterruptible(Scope.extend(make, scope)))
    return Context.make(TaskSupervisor.TaskSupervisor, {
      // @effect-diagnostics-next-line missingEffectContext:off -- it does not see that `run` of both has the same type.
      run: (task) => Effect.flatMap(supervisor, (supervisor) => supervisor.run(task))
    })
  })
