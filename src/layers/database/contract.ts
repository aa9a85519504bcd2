/** What the SQL job engines may use of the database. */
import type { SqlClient, SqlConnection, SqlError } from "@effect/sql"
import { Cause, Context, Effect, Exit, Predicate, Schema, type Stream } from "effect"

/** See `Database.Service`. */
export interface Service {
  /** Which database it is: both speak the same SQL, but PGlite has one connection and one process. */
  readonly kind: "pglite" | "postgres"
  /**
   * A client on a connection of its own, for statements that must not wait behind work: lease renewals above all. It answers
   * while every connection of the pool is in use, and joins no transaction of the other client. PGlite has one connection, so
   * there this is the same client.
   */
  readonly reserved: SqlClient.SqlClient
  /**
   * The payloads of `NOTIFY channel`. A lost connection is replaced with a backoff: the stream never fails, and ends when the
   * database is released. Whenever listening begins, the first time included, it emits an empty string, because notifications may
   * have been missed before: read the state itself then.
   */
  readonly listen: (channel: string) => Stream.Stream<string>
  /** Notifies the listeners of all processes. In a transaction they are notified when it commits, and only then. */
  readonly notify: (channel: string, payload: string) => Effect.Effect<void, SqlError.SqlError>
}

/** See `Database.Database`. */
export class Database extends Context.Tag("lastcall/Database")<Database, Service>() {}

/** See `Database.DatabaseError`. */
export class DatabaseError extends Schema.TaggedError<DatabaseError>()("DatabaseError", {
  reason: Schema.Literal("InvalidUrl", "Unreachable", "FolderInUse", "FolderUnusable"),
  message: Schema.String
}) {}

/** The Tags of `@effect/sql`, by their keys: importing it here would make an optional peer a required one. */
export const SqlClientTag = Context.GenericTag<SqlClient.SqlClient>("@effect/sql/SqlClient")
export const TransactionTag = Context.GenericTag<
  SqlClient.TransactionConnection,
  readonly [connection: SqlConnection.Connection, depth: number]
>("@effect/sql/SqlClient/TransactionConnection")

/** See `Database.Row`. */
export type Row = Readonly<Record<string, unknown>>

interface RawResult {
  readonly rows?: ReadonlyArray<Row>
}

/** See `Database.execute`. */
export const execute = (
  sql: SqlClient.SqlClient,
  text: string,
  values?: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<Row>, SqlError.SqlError> =>
  Effect.map(
    sql.unsafe(text, values).raw,
    (raw) => (Array.isArray(raw) ? raw as Array<RawResult> : [raw as RawResult]).flatMap((result) => result.rows ?? [])
  )

const isSqlError = (error: unknown): error is SqlError.SqlError => Predicate.isTagged(error, "SqlError")

/**
 * The error of the driver, whose code and message say more; the `SqlError` itself where the driver failed to connect
 * to each of several addresses, because that error has no message.
 */
export const causeOf = (error: unknown): unknown =>
  isSqlError(error) && error.cause !== undefined && !(error.cause instanceof AggregateError) ? error.cause : error

/**
 * Runs `work` in one transaction, with the errors of the transaction separate from those of the work.
 *
 * Both may be a `SqlError`, and some clients report a failed COMMIT or ROLLBACK as a defect. Here a failed work is reported as it
 * failed, also when the rollback fails (its connection is closed then, which ends the transaction), and a failed commit goes
 * through `onError`.
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
