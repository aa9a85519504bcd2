/**
 * `withTransaction`. That of `@effect/sql` waits for a connection uninterruptibly (sql-pg-wait in docs/upstream), succeeds where the server has
 * answered `COMMIT` with a rollback (sql-pg-commit), dies when a `COMMIT` fails, and runs nothing after the commit.
 */
import type { SqlClient, SqlConnection, SqlError } from "@effect/sql"
import { Context, Effect, Exit, FiberRef, Option, Tracer } from "effect"
import { forgetAfterRollback, runAfterCommit } from "../../../core/internal/afterCommit.js"
import type { Connection } from "./connection.js"
import type { ConnectionPool } from "./connectionPool.js"
import type { Errors } from "./errors.js"

/** Fails also when the server answers with a rollback. */
export const commit = (connection: Connection, errors: Errors): Effect.Effect<void, SqlError.SqlError> =>
  Effect.flatMap(
    connection.commit(),
    (result) => !Array.isArray(result) && result.command === "ROLLBACK" ? errors.notCommitted() : Effect.void
  )

export type Transaction = readonly [connection: SqlConnection.Connection, depth: number]

/**
 * A transaction like that of `SqlClient.make`, except that:
 *
 * - it begins with its first statement, in one message where the driver pipelines: without statements there is none;
 * - waiting for a connection is as interruptible as the caller;
 * - a failed `COMMIT` is an error, not a defect, and a failed `ROLLBACK` does not replace the error that caused it;
 * - a `COMMIT` that the server answers with a rollback fails. Postgres does so, without an error, when a statement failed and the
 *   transaction caught its error;
 * - what waits for the commit (`runAfterCommit`) runs then, and is forgotten with a savepoint that is rolled back.
 */
export const makeWithTransaction = <I>(options: {
  readonly tag: Context.Tag<I, Transaction>
  readonly pool: ConnectionPool
  readonly begin: ReadonlyArray<string>
  readonly spanAttributes: ReadonlyArray<readonly [string, unknown]>
  readonly errors: Errors
  readonly toSqlConnection: (connection: Connection) => SqlConnection.Connection
}): SqlClient.SqlClient["withTransaction"] =>
<R, E, A>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError.SqlError, R> =>
  Effect.uninterruptibleMask((restore) => {
    const { begin, errors, pool, spanAttributes, tag, toSqlConnection } = options

    const outermost = (body: (connection: SqlConnection.Connection, depth: number) => Effect.Effect<A, E, R>) =>
      Effect.flatMap(pool.acquire(restore), (connection) =>
        restore(connection.begin(begin)).pipe(
          Effect.zipRight(body(toSqlConnection(connection), 0)),
          Effect.zipLeft(commit(connection, errors)),
          Effect.exit,
          Effect.flatMap((exit) => {
            const end = Effect.suspend(() => {
              pool.giveBack(connection)
              return exit
            })
            return Exit.isSuccess(exit) ? end : Effect.zipRight(connection.rollback, end)
          })
        ))

    const nested = (
      [connection, outer]: Transaction,
      body: (connection: SqlConnection.Connection, depth: number) => Effect.Effect<A, E, R>
    ): Effect.Effect<A, E | SqlError.SqlError, R> => {
      const depth = outer + 1
      const savepoint = `effect_sql_${depth}`
      const run = (sql: string) => connection.executeUnprepared(sql, [], undefined)
      return restore(run(`SAVEPOINT ${savepoint}`)).pipe(
        Effect.zipRight(Effect.exit(body(connection, depth))),
        Effect.flatMap((exit): Effect.Effect<A, E | SqlError.SqlError> =>
          Exit.isSuccess(exit)
            ? Effect.as(restore(run(`RELEASE SAVEPOINT ${savepoint}`)), exit.value)
            // If this fails, the transaction is aborted and its COMMIT fails.
            : Effect.zipRight(Effect.ignore(run(`ROLLBACK TO SAVEPOINT ${savepoint}`)), exit)
        )
      )
    }

    return Effect.useSpan(
      "sql.transaction",
      { kind: "client", captureStackTrace: false },
      (span) =>
        Effect.withFiberRuntime<A, E | SqlError.SqlError, R>((fiber) => {
          for (const [key, value] of spanAttributes) span.attribute(key, value)
          const body = (connection: SqlConnection.Connection, depth: number) =>
            Effect.withFiberRuntime<A, E, R>((fiber) =>
              Effect.locally(
                restore(effect),
                FiberRef.currentContext,
                Context.add(fiber.currentContext, tag, [connection, depth]).pipe(Context.add(Tracer.ParentSpan, span))
              )
            )
          const around = Context.getOption(fiber.currentContext as Context.Context<never>, tag)
          return Option.isSome(around)
            ? forgetAfterRollback(nested(around.value, body))
            : runAfterCommit(outermost(body))
        })
    )
  })
