/**
 * The two answers a platform asks for. `HttpServer` gives them on its own port; here they are for another one.
 *
 * - `livez`: 200 as long as the event loop answers, also while the service drains: a platform that sees it fail kills.
 * - `readyz`: 200 only while the service is `Running`, 503 while it starts and from the moment it is told to stop.
 *
 * Both answer with the state as JSON: `{"state":"Running"}`. `readyz` adds what keeps resources from their work, such as
 * `"conditions":{"mailer":"WaitingForSource"}`; its status does not depend on it. A database that is away is away for every
 * instance: were none of them ready, nobody would answer, not even those requests that need no database.
 *
 * @since 0.1.0
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Effect } from "effect"
import { type Conditions, Shutdown } from "../../core/Shutdown.js"
import type { LifecycleState } from "../../core/ShutdownReport.js"
import * as Probes from "./internal/probes.js"

/**
 * @since 0.1.0
 * @category models
 */
export type Probe = Probes.Probe

/**
 * @since 0.1.0
 * @category models
 */
export interface Answer extends Probes.Answer {}

/**
 * What a probe is answered with in a state: a pure function, for any server.
 *
 * @since 0.1.0
 * @category constructors
 */
export const answer: (probe: Probe, state: LifecycleState, conditions?: Conditions) => Answer = Probes.answer

const respond = (probe: Probe): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.gen(function*() {
    const shutdown = yield* Shutdown
    const { body, headers, status } = answer(probe, yield* shutdown.state, yield* shutdown.conditions)
    return HttpServerResponse.text(body, { status, headers, contentType: "application/json" })
  })

/**
 * Is the process alive? A handler, for a route of a router.
 *
 * @since 0.1.0
 * @category handlers
 */
export const livez: Effect.Effect<HttpServerResponse.HttpServerResponse> = respond("livez")

/**
 * Should the process get requests? A handler, for a route of a router.
 *
 * @since 0.1.0
 * @category handlers
 */
export const readyz: Effect.Effect<HttpServerResponse.HttpServerResponse> = respond("readyz")
