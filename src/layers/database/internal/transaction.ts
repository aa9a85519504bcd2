/**
 * `withTransaction`. That of `@effect/sql` waits for a connection uninterruptibly (sql-pg-wait in docs/upstream), succeeds where the server has
 * answered `COMMIT` with a rollback (sql-pg-commit), dies when a `COMMIT` fails, and runs nothing after the commit.
 */
import type { SqlClient, SqlConnection, SqlError } from "@effect/sql"
import { type Context, Effect, Exit, Option, Tracer } from "effect"
import { Committing, forgetAfterRollback, type Hooks, runHooks } from "../../../core/internal/afterCommit.js"
import { addServices, serviceOf, withContext } from "../../../core/internal/fiberState.js"
import { lazySpans } from "../../../core/internal/lazySpan.js"
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
 * - what waits for the commit (`afterCommit`) runs then, and is forgotten with a savepoint that is rolled back.
 */
export const makeWithTransaction = <I>(options: {
  readonly tag: Context.Tag<I, Transaction>
  readonly pool: ConnectionPool
  readonly begin: ReadonlyArray<string>
  readonly spanAttributes: Readonly<Record<string, unknown>>
  readonly errors: Errors
  readonly toSqlConnection: (connection: Connection) => SqlConnection.Connection
}): SqlClient.SqlClient["withTransaction"] =>
<R, E, A>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError.SqlError, R> =>
  Effect.uninterruptibleMask((restore) => {
    const { begin, errors, pool, spanAttributes, tag, toSqlConnection } = options

    const outermost = (context: Context.Context<R>): Effect.Effect<A, E | SqlError.SqlError> =>
      Effect.flatMap(pool.acquire(restore), (connection) => {
        const hooks: Hooks = []
        const inside = addServices(context, [tag, [toSqlConnection(connection), 0]], [Committing, hooks])
        const committed = restore(connection.begin(begin)).pipe(
          Effect.zipRight(withContext(inside, restore(effect))),
          Effect.flatMap((value) => Effect.as(commit(connection, errors), value))
        )
        return Effect.flatMap(Effect.exit(committed), (exit) => {
          const end = Effect.suspend(() => {
            pool.giveBack(connection)
            return exit
          })
          if (Exit.isFailure(exit)) return Effect.zipRight(connection.rollback, end)
          return hooks.length === 0 ? end : Effect.zipLeft(end, runHooks(hooks))
        })
      })

    const nested = (
      context: Context.Context<R>,
      [connection, outer]: Transaction
    ): Effect.Effect<A, E | SqlError.SqlError> => {
      const depth = outer + 1
      const savepoint = `effect_sql_${depth}`
      const run = (sql: string) => connection.executeUnprepared(sql, [], undefined)
      return restore(run(`SAVEPOINT ${savepoint}`)).pipe(
        Effect.zipRight(
          Effect.exit(withContext(addServices(context, [tag, [connection, depth]]), restore(effect)))
        ),
        Effect.flatMap((exit): Effect.Effect<A, E | SqlError.SqlError> =>
          Exit.isSuccess(exit)
            ? Effect.as(restore(run(`RELEASE SAVEPOINT ${savepoint}`)), exit.value)
            // If this fails, the transaction is aborted and its COMMIT fails.
            : Effect.zipRight(Effect.ignore(run(`ROLLBACK TO SAVEPOINT ${savepoint}`)), exit)
        )
      )
    }

    return Effect.withFiberRuntime<A, E | SqlError.SqlError, R>((fiber) => {
      const around = serviceOf(fiber, tag)
      const inSpan = (span: Tracer.Span) => {
        const context = addServices(fiber.currentContext as Context.Context<R>, [Tracer.ParentSpan, span])
        return around === undefined ? outermost(context) : forgetAfterRollback(nested(context, around))
      }
      const spans = lazySpans(fiber)
      if (spans === undefined) {
        return Effect.useSpan(
          "sql.transaction",
          { kind: "client", captureStackTrace: false, attributes: spanAttributes },
          inSpan
        )
      }
      const parent = Option.fromNullable(serviceOf(fiber, Tracer.ParentSpan))
      const span = spans.start({
        name: "sql.transaction",
        kind: "client",
        parent: () => parent,
        attributes: () => spanAttributes
      })
      return Effect.flatMap(Effect.exit(inSpan(span)), (exit) => {
        spans.end(span, exit)
        return exit
      })
    })
  })
