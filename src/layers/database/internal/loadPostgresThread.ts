/** Apart from `postgresThread`, so that a service which renews no lease while its event loop is blocked does not load that and its worker. */
import { Effect, type Scope } from "effect"
import type { ThreadConnection } from "../../../core/internal/threadConnection.js"
import type { ServerOptions } from "./clientConfig.js"
import type { Pg } from "./peers.js"

/** `makePostgresThread`, which is loaded when it is run: most apps have no use for it. */
export const loadPostgresThread = (
  pg: Pg,
  options: ServerOptions
): Effect.Effect<ThreadConnection, never, Scope.Scope> =>
  Effect.flatMap(
    Effect.promise(() => import("./postgresThread.js")),
    ({ makePostgresThread }) => makePostgresThread(pg, options)
  )
