import { type SqlClient, SqlError } from "@effect/sql"
import { Cause, Context, Effect, Exit, Schema, type Stream } from "effect"

/**
 * What a database can do beyond SQL statements. See `Database.Database`.
 */
export interface Service {
  readonly kind: "pglite" | "postgres"
  /**
   * A client on a connection of its own, for what must not wait behind work: lease renewals, above all. A pool whose
   * connections are all taken does not delay it. On PGlite there is one connection, so this is the same client.
   */
  readonly reserved: SqlClient.SqlClient
  /**
   * The payloads of `NOTIFY channel`. A lost connection is made anew with a backoff, so the stream neither fails nor
   * ends. Each time it has begun to listen, the first included, it emits an empty string: notifications may have been
   * missed before, so look for yourself once.
   */
  readonly listen: (channel: string) => Stream.Stream<string>
  /** Wakes those who listen, of any process. Inside a transaction: when it commits, and only then. */
  readonly notify: (channel: string, payload: string) => Effect.Effect<void, SqlError.SqlError>
}

/** See `Database.Database`. */
export class Database extends Context.Tag("lastcall/Database")<Database, Service>() {}

/** See `Database.DatabaseError`. */
export class DatabaseError extends Schema.TaggedError<DatabaseError>()("DatabaseError", {
  reason: Schema.Literal("InvalidUrl", "Unreachable", "FolderInUse", "FolderUnusable"),
  message: Schema.String
}) {}

/** A row, by column. */
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
