import { SqlClient } from "@effect/sql"
import { Context, Effect, Exit, Layer, Option, Redacted, Scope } from "effect"
import { Shutdown } from "../../src/core/Shutdown.js"
import type { DrainReport } from "../../src/core/ShutdownReport.js"
import * as Database from "../../src/layers/database/Database.js"

/** A database that the test releases itself. */
export interface Opened {
  readonly sql: SqlClient.SqlClient
  readonly database: Database.Service
  /** Releases the database, and succeeds with the report of its drain. */
  readonly release: Effect.Effect<DrainReport>
}

/** Opens a database, and releases it at the latest with the scope. */
export const openDatabase = (
  url: string,
  options: Omit<Database.Options, "url"> = {}
): Effect.Effect<Opened, Database.DatabaseError, Scope.Scope> =>
  Effect.gen(function*() {
    const reports: Array<DrainReport> = []
    const shutdown = yield* Shutdown
    const scope = yield* Scope.make()
    const release = Effect.zipRight(Scope.close(scope, Exit.void), Effect.sync(() => reports[0]!))
    yield* Effect.addFinalizer(() => release)
    const context = yield* Layer.buildWithScope(Database.layer({ url: Redacted.make(url), ...options }), scope)
      .pipe(
        Effect.provideService(Shutdown, {
          ...shutdown,
          update: ({ report }) => Effect.sync(() => void reports.push(...Option.toArray(report)))
        }),
        // Without `launch` there is no budget.
        Effect.catchTag("BudgetError", Effect.die)
      )
    return {
      sql: Context.get(context, SqlClient.SqlClient),
      database: Context.get(context, Database.Database),
      release
    }
  })
