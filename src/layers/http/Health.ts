/**
 * The two probes of a platform, `livez` and `readyz`. `HttpServer` responds to them on its own port; this module is for
 * any other port, path or server.
 *
 * - `livez`: 200 in every state, also while the service drains. A platform restarts a process whose liveness probe fails.
 * - `readyz`: 200 only while the service is `Running`, 503 while it starts, and from the moment the shutdown begins.
 *
 * The body of both is the state as JSON: `{"state":"Running"}`. That of `readyz` also has the conditions of resources that
 * cannot work, such as `"conditions":{"mailer":"WaitingForSource"}`. Conditions do not change the status: a database that
 * is unavailable is so for every instance, and without a ready instance, requests that need no database would fail too.
 *
 * @example
 * ```ts
 * import { HttpRouter } from "@effect/platform"
 * import { Layer } from "effect"
 * import { Health, HttpServer } from "lastcall"
 * import { createServer } from "node:http"
 *
 * const Probes = HttpRouter.empty.pipe(
 *   HttpRouter.get("/health/live", Health.livez),
 *   HttpRouter.get("/health/ready", Health.readyz),
 *   HttpServer.serve(),
 *   Layer.provide(HttpServer.layer(createServer, { port: 9000, name: "probes", probes: false }))
 * )
 * ```
 *
 * @module
 * @since 0.1.0
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Effect } from "effect"
import { type Conditions, Shutdown } from "../../core/Shutdown.js"
import type { LifecycleState } from "../../core/ShutdownReport.js"
import * as Probes from "./internal/probes.js"

/**
 * The name of a probe: `"livez"` or `"readyz"`.
 *
 * @since 0.1.0
 * @category models
 */
export type Probe = Probes.Probe

/**
 * The response to a probe: its `status`, its `headers`, and the JSON text of its `body`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProbeResponse extends Probes.ProbeResponse {}

/**
 * The response to a probe in a state of the lifecycle. A pure function, for servers of any kind.
 *
 * @since 0.1.0
 * @category constructors
 */
export const probeResponse: (probe: Probe, state: LifecycleState, conditions?: Conditions) => ProbeResponse =
  Probes.probeResponse

const handler = (probe: Probe): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.gen(function*() {
    const shutdown = yield* Shutdown
    const { body, headers, status } = probeResponse(probe, yield* shutdown.state, yield* shutdown.conditions)
    return HttpServerResponse.text(body, { status, headers, contentType: "application/json" })
  })

/**
 * A handler that says whether the process is alive.
 *
 * @since 0.1.0
 * @category handlers
 */
export const livez: Effect.Effect<HttpServerResponse.HttpServerResponse> = handler("livez")

/**
 * A handler that says whether the process should get requests.
 *
 * @since 0.1.0
 * @category handlers
 */
export const readyz: Effect.Effect<HttpServerResponse.HttpServerResponse> = handler("readyz")
