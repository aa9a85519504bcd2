import type { SqlClient } from "@effect/sql"
import { Effect, Redacted, type Scope } from "effect"
import * as Database from "../../src/layers/database/Database.js"
import { throwaway } from "../../test/kit/postgresServer.js"

/** Runs a measurement in this process, over a throwaway server with these settings. */
export const measureOverPostgres = async (
  measure: Effect.Effect<void, unknown, SqlClient.SqlClient | Database.Database | Scope.Scope>,
  options: { readonly settings?: ReadonlyArray<string>; readonly maxConnections?: number } = {}
): Promise<void> => {
  const { maxConnections, settings } = options
  const server = throwaway(settings)
  if (typeof server === "string") throw new Error(server)
  await server.create()
  const database = Database.layer({ url: Redacted.make(server.url), maxConnections })
  await Effect.runPromise(measure.pipe(
    Effect.provide(database),
    Effect.scoped,
    Effect.ensuring(Effect.promise(() => server.remove()))
  ) as Effect.Effect<void, unknown>)
}
