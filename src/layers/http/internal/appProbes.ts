import type { HttpApp } from "@effect/platform"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Cause, Effect, type Scope } from "effect"
import type * as Http from "node:http"
import type { Http1Exchange } from "./http1.js"
import type { Probe, ProbeResponse } from "./probes.js"
import type { RequestHandler } from "./requestHandler.js"

type App = HttpApp.Default<unknown>

export interface AppProbesOptions {
  readonly match: (request: Http.IncomingMessage) => Probe | undefined
  readonly isRunning: () => boolean
  /** The response of the lifecycle. */
  readonly response: (probe: Probe) => ProbeResponse
}

/**
 * The responses of the app to probes, which hold while the service runs. The lifecycle responds before and after, and for
 * an app without a route for the probe.
 */
export class AppProbes {
  private handler: RequestHandler | undefined = undefined
  /** Probes for which the app has no route: it is not asked again. */
  private readonly unrouted = new Set<Probe>()

  constructor(private readonly options: AppProbesOptions) {}

  asks(probe: Probe): boolean {
    return this.handler !== undefined && this.options.isRunning() && !this.unrouted.has(probe)
  }
  handle(exchange: Http1Exchange): void {
    this.handler?.(exchange)
  }

  /** Asks this app until the scope closes. */
  attach(app: App, makeHandler: (app: App) => Effect.Effect<RequestHandler>): Effect.Effect<void, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.map(makeHandler(this.withLifecycle(app)), (handler) => {
        this.handler = handler
        this.unrouted.clear()
      }),
      () => Effect.sync(() => void (this.handler = undefined))
    )
  }

  /** 3xx and 4xx are not responses to a probe: the app has no route for it, or only one for its users. */
  private withLifecycle(app: App): App {
    return Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
      const probe = this.options.match(NodeHttpServerRequest.toIncomingMessage(request))!
      const decide = ({ status }: HttpServerResponse.HttpServerResponse, own: App) => {
        if (status === 404 || status === 405) this.unrouted.add(probe)
        return this.options.isRunning() && (status < 300 || status >= 500) ? own : this.ofLifecycle(probe)
      }
      return Effect.matchCauseEffect(app, {
        onSuccess: (response) => decide(response, Effect.succeed(response)),
        onFailure: (cause) =>
          Cause.isInterrupted(cause)
            ? Effect.failCause(cause)
            : Effect.flatMap(HttpServerError.causeResponse(cause), ([response]) =>
              decide(response, Effect.failCause(cause)))
      })
    })
  }

  private ofLifecycle(probe: Probe): App {
    return Effect.sync(() => {
      const { body, headers, status } = this.options.response(probe)
      return HttpServerResponse.text(body, { status, headers, contentType: "application/json" })
    })
  }
}
