import { type SqlClient, SqlError } from "@effect/sql"
import { Cause, Effect, Exit } from "effect"

/**
 * What the driver said: pg-boss looks at its codes and messages, and so do people. Except when it failed to connect to
 * each of several addresses: that error says nothing by itself.
 */
export const causeOf = (error: unknown): unknown =>
  error instanceof SqlError.SqlError && error.cause !== undefined && !(error.cause instanceof AggregateError)
    ? error.cause
    : error

/**
 * `work` in one transaction, with the errors of the transaction itself told apart from those of the work.
 *
 * Both may be a `SqlError`, and from some clients a failed COMMIT or ROLLBACK comes as a defect. Here what the work
 * ended with is what is reported, whatever became of the rollback (a connection that cannot roll back is gone, and its
 * transaction with it); and a work that succeeded and could not be committed is an ordinary error.
 */
export const transaction = <A, E, R, E2>(
  sql: SqlClient.SqlClient,
  work: Effect.Effect<A, E, R>,
  onError: (error: unknown) => E2
): Effect.Effect<A, E | E2, R> =>
  Effect.suspend(() => {
    let failed: Exit.Exit<never, E> | undefined
    const watched = Effect.onError(work, (cause) => Effect.sync(() => (failed = Exit.failCause(cause))))
    return Effect.catchAllCause(sql.withTransaction(watched), (cause): Effect.Effect<never, E | E2> => {
      if (failed !== undefined) return failed
      return Cause.isInterruptedOnly(cause) ? Effect.interrupt : Effect.fail(onError(Cause.squash(cause)))
    })
  })
