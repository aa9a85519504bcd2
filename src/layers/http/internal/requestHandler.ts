import * as HttpApp from "@effect/platform/HttpApp"
import type * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Cause, Context, Effect, Exit, type Fiber, GlobalValue, Runtime, RuntimeFlags, Scope } from "effect"
import type { ConnectionDrainPolicy } from "./connectionDrainPolicy.js"
import type { Http1Exchange } from "./http1.js"
import { type RequestSpans, requestSpans } from "./requestSpan.js"
import { tracer } from "./requestTracer.js"
import { respond } from "./respond.js"
import { drainable, isStreamed } from "./responseStream.js"
import { RequestState, ServerRequest } from "./serverRequest.js"

type App = HttpApp.Default<unknown>
type Response = HttpServerResponse.HttpServerResponse
type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** Runs the handler of a request. */
export type RequestHandler = (exchange: Http1Exchange) => void

/** Scopes that an app closes itself: see `HttpApp.ejectDefaultScopeClose`. */
const ejectedScopes = GlobalValue.globalValue(
  "@effect/platform/HttpApp/ejectedScopes",
  () => new WeakSet<Scope.Scope>()
)

/**
 * Whether a scope has no finalizer, so that it does not matter when it closes. What tells that is private to Effect: without
 * it, every response waits until it is sent, as all of the platform's do.
 */
const isEmpty = (scope: Scope.Scope): boolean =>
  (scope as { readonly state?: { readonly finalizers?: ReadonlyMap<unknown, unknown> } }).state?.finalizers?.size === 0

/** The request of the fiber, which middleware may have modified. */
const requestOf = (fiber: AnyFiber): ServerRequest =>
  (fiber.currentContext as Context.Context<unknown>).unsafeMap.get(HttpServerRequest.HttpServerRequest.key)

/**
 * Whether the handler has exited, and the connection is kept. Otherwise the client may end it before the span of the request
 * is read, and Node knows the address of a closed socket only if it was read before. An idle connection would hold it.
 */
const staysOpen = ({ handlerExited, response }: Http1Exchange): boolean => handlerExited && response.shouldKeepAlive

/** Responds to requests, in the fiber of a request, as `HttpApp.toHandled` does. */
const handled = (
  policy: ConnectionDrainPolicy,
  app: App,
  middleware: HttpMiddleware.HttpMiddleware | undefined,
  spans: RequestSpans | undefined
): Effect.Effect<unknown, unknown, HttpServerRequest.HttpServerRequest> => {
  const interruptibleApp = Effect.interruptible(app)
  const write = (request: ServerRequest, response: Response) => {
    const { state } = request
    state.responded = true
    return respond(request, response, middleware !== undefined || !isEmpty(state.scope))
  }
  const prepareAndWrite = (fiber: AnyFiber, response: Response) => {
    const request = requestOf(fiber)
    const preResponse = fiber.getFiberRef(HttpApp.currentPreResponseHandlers)
    return preResponse._tag === "None"
      ? write(request, response)
      : Effect.flatMap(preResponse.value(request, response), (response) => write(request, response))
  }
  const supervised = (fiber: AnyFiber, response: Response) =>
    isStreamed(response) ? drainable(policy, requestOf(fiber).state.exchange, response) : response

  const ofApp: App = Effect.withFiberRuntime((fiber) =>
    Effect.flatMap(interruptibleApp, (response) => prepareAndWrite(fiber, supervised(fiber, response)))
  )
  const responded: App = Effect.catchAllCause(
    ofApp,
    (failure) =>
      Effect.withFiberRuntime((fiber) =>
        Effect.flatMap(HttpServerError.causeResponse(failure), ([response, cause]) =>
          Effect.zipRight(
            prepareAndWrite(fiber, response),
            Cause.isEmptyType(cause) ? Effect.succeed(response) : Effect.failCause(cause)
          ))
      )
  )
  const withMiddleware = middleware === undefined ? responded : middleware(responded) as App
  const traced = spans === undefined ? tracer(withMiddleware) : withMiddleware

  /** Middleware may respond instead of the app. */
  const respondIfNot = (request: ServerRequest, exit: Exit.Exit<Response, unknown>) => {
    if (request.state.responded) return Effect.void
    if (Exit.isSuccess(exit)) return write(request, exit.value)
    return Effect.matchCauseEffect(HttpServerError.causeResponse(exit.cause), {
      onSuccess: ([response]) => write(request, response),
      onFailure: () => write(request, HttpServerResponse.empty({ status: 500 }))
    })
  }
  const finish = (fiber: AnyFiber, exit: Exit.Exit<Response, unknown>): Effect.Effect<unknown, unknown> => {
    const request = requestOf(fiber)
    const { scope, span } = request.state
    if (span !== undefined) spans!.end(span, exit, (fiber.currentContext as Context.Context<unknown>).unsafeMap)
    const finished = middleware === undefined ? exit : respondIfNot(request, exit)
    if (ejectedScopes.has(scope)) return finished
    return middleware === undefined && isEmpty(scope)
      ? Effect.zipRight(Scope.close(scope, exit), exit)
      : Effect.onExit(finished, (exit) => Scope.close(scope, exit))
  }
  return Effect.withFiberRuntime((fiber) => {
    requestOf(fiber).state.exchange.fiber = fiber
    return Effect.matchCauseEffect(traced, {
      onSuccess: (response) => finish(fiber, Exit.succeed(response)),
      onFailure: (cause) => finish(fiber, Exit.failCause(cause))
    })
  })
}

/**
 * Makes the handler of the requests of an app. It does what `NodeHttpServer.makeHandler` does, with less for each request:
 * the fiber starts with its whole context, a span is made when it is read, and a response without finalizers
 * and middleware after it ends the fiber once it is written. Handlers are interruptible, also without a router.
 */
export const makeRequestHandler = (
  policy: ConnectionDrainPolicy,
  app: App,
  middleware: HttpMiddleware.HttpMiddleware | undefined
): Effect.Effect<RequestHandler> =>
  Effect.map(Effect.runtime<never>(), (runtime) => {
    const { context: { unsafeMap: services }, fiberRefs } = runtime
    // Uninterruptible, except for the app.
    const runtimeFlags = RuntimeFlags.disable(runtime.runtimeFlags, RuntimeFlags.Interruption)
    const spans = requestSpans(runtime)
    const makeScope = Scope.make()
    const effect = handled(policy, app, middleware, spans) as Effect.Effect<unknown, unknown>

    return (exchange) => {
      const context = new Map(services)
      let traced = false
      const handling = Effect.flatMap(makeScope, (scope) => {
        const state = new RequestState(exchange, scope)
        const request = new ServerRequest(state)
        context.set(HttpServerRequest.HttpServerRequest.key, request)
        context.set(Scope.Scope.key, scope)
        state.span = spans?.start(request, context)
        traced = state.span !== undefined
        return effect
      })
      const fiber = Runtime.runFork(
        Runtime.make({ context: Context.unsafeMake(context), fiberRefs, runtimeFlags }),
        handling
      )
      fiber.addObserver(() => policy.onHandlerExited(exchange))
      if (traced && !staysOpen(exchange)) void exchange.request.socket.remoteAddress
    }
  })
