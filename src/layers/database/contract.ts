/** What the SQL job engines may use of the database. */
import type { SqlClient, SqlConnection, SqlError } from "@effect/sql"
import type { PgClient } from "@effect/sql-pg"
import { Cause, Context, Effect, Exit, Option, Predicate, Schema, type Stream } from "effect"
import { serviceOf } from "../../core/internal/fiberState.js"
import type { ThreadConnection } from "../../core/internal/threadConnection.js"
import type { Ending } from "./internal/driverConnection.js"

/**
 * What the Tag `Database` provides. See its fields.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Which database it is: both speak the same SQL, but PGlite has one connection and one process. */
  readonly kind: "pglite" | "postgres"
  /**
   * How many transactions can be open at a time: `maxConnections`, one on PGlite, and none when an app's own client does not say it. The
   * reserved connection and those of listeners are not counted.
   */
  readonly connections: Option.Option<number>
  /**
   * A client on a connection of its own, for statements that must not wait behind work: lease renewals above all. It answers
   * while every connection of the pool is in use, and joins no transaction of the other client, only its own. PGlite has one connection,
   * so there this is the same client. Over an app's own `PgClient` it takes the connections of that pool, and waits while all are in use.
   */
  readonly reserved: SqlClient.SqlClient
  /**
   * The payloads of `NOTIFY channel`. A lost connection is replaced with a backoff: the stream never fails, and ends when the
   * database is released. Behind a pooler that lets no notification through (transaction pooling), it logs a warning and is silent.
   * Whenever listening begins, the first time included, it emits an empty string, because notifications may
   * have been missed before: read the state itself then.
   */
  readonly listen: (channel: string) => Stream.Stream<string>
  /**
   * Starts a thread with a connection of its own, or returns the one that was started: it repeats statements while the event loop is
   * blocked. None on PGlite, whose statements run on the thread that is blocked.
   *
   * @internal
   */
  readonly thread?: Effect.Effect<ThreadConnection> | undefined
  /**
   * Notifies the listeners of all processes. In a transaction they are notified when it commits, and only then. Fails with `SqlError`, also for a payload
   * of 8,000 bytes or more, or a channel of 64 or more. **Not promised:** that a process hears it which is not listening at that moment.
   */
  readonly notify: (channel: string, payload: string) => Effect.Effect<void, SqlError.SqlError>
}

/**
 * What a database can do beyond SQL statements: listen, notify, and a client that does not wait behind work.
 *
 * @since 0.1.0
 * @category tags
 */
export class Database extends Context.Tag("lastcall/Database")<Database, Service>() {}

/**
 * Why a database could not be opened. `reason` is for programs, `message` for people: it names the place, and never a password.
 *
 * - `InvalidUrl`: the URL names no database that is known;
 * - `Unreachable`: the server refused, or did not answer within `connectTimeout`;
 * - `FolderInUse`: another process has locked the folder;
 * - `FolderUnusable`: the folder cannot be created, contains something else, or its database does not open.
 *
 * @since 0.1.0
 * @category errors
 */
export class DatabaseError extends Schema.TaggedError<DatabaseError>()("DatabaseError", {
  reason: Schema.Literal("InvalidUrl", "Unreachable", "FolderInUse", "FolderUnusable"),
  message: Schema.String
}) {}

/**
 * Logs a warning when fewer jobs can have a transaction open than a pool runs at a time. Not on PGlite, whose one connection is no
 * setting.
 */
export const warnOfFewConnections = (
  { connections, kind }: Service,
  pool: { readonly name: string; readonly concurrency?: number | undefined }
): Effect.Effect<void> => {
  const { concurrency = 0, name } = pool
  const available = Option.getOrElse(connections, () => concurrency)
  return kind === "pglite" || available >= concurrency
    ? Effect.void
    : Effect.logWarning(
      `${name}: concurrency is ${concurrency}, but the database has ${available} connections, for which jobs and requests will wait: ` +
        `set maxConnections above ${concurrency}, or concurrency below ${available}`
    )
}

/** The Tags of `@effect/sql` and `@effect/sql-pg`, by their keys: importing it here would make an optional peer a required one. */
export const SqlClientTag = Context.GenericTag<SqlClient.SqlClient>("@effect/sql/SqlClient")
export const PgClientTag = Context.GenericTag<PgClient.PgClient>("@effect/sql-pg/PgClient")
export const TransactionTag = Context.GenericTag<
  SqlClient.TransactionConnection,
  readonly [connection: SqlConnection.Connection, depth: number]
>("@effect/sql/SqlClient/TransactionConnection")

/**
 * A row of a result, by column. Values have the same JavaScript types on both databases, those of `pg`: `bigint` and `numeric` are
 * strings, `timestamptz` is a `Date`, `jsonb` is parsed.
 *
 * @since 0.1.0
 * @category models
 */
export type Row = Readonly<Record<string, unknown>>

const briefMark = "/* brief */ "

/**
 * Marks a statement that takes milliseconds, whatever others do: on PostgreSQL its connection is destroyed when it is not answered
 * within ten seconds, as when the network or a pooler has forgotten the connection.
 *
 * @internal
 */
export const brief = (text: string): string => briefMark + text

/** @internal */
export const isBrief = (text: string): boolean => text.startsWith(briefMark)

const ownMark = "/* own */ "

/**
 * Marks a statement of the library that may wait for other transactions: on PostgreSQL its connection is destroyed when nothing arrives
 * for five minutes, unless the server says that it works on it.
 *
 * @internal
 */
export const own = (text: string): string => isBrief(text) ? text : ownMark + text

/** @internal */
export const isOwn = (text: string): boolean => text.startsWith(ownMark)

/** Runs a text as `unsafe(text, values).raw` does. */
export type RunRaw = (text: string, values?: ReadonlyArray<unknown>) => Effect.Effect<unknown, SqlError.SqlError>

/** Where clients of `Database` have a `RunRaw` that is shorter. */
export const runsRaw = Symbol.for("lastcall/Database/runsRaw")

interface RawResult {
  readonly rows?: ReadonlyArray<Row>
}

/**
 * Runs a text of one or more statements and returns the rows of **all** of them, in order. A text with values, which are `$1`, `$2` and so
 * on in it, must be one statement. Joins the transaction around it. Fails with `SqlError`, whose `cause` is the error of the driver, with its SQLSTATE.
 *
 * **Promised:** of several statements outside of a transaction, all take effect or none, unless they begin transactions themselves.
 * **Not promised:** that names are converted (`transformResultNames`): rows are as the server sends them.
 *
 * @since 0.1.0
 * @category execution
 */
export const execute = (
  sql: SqlClient.SqlClient,
  text: string,
  values?: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<Row>, SqlError.SqlError> =>
  Effect.map(
    Predicate.hasProperty(sql, runsRaw) ? (sql[runsRaw] as RunRaw)(text, values) : sql.unsafe(text, values).raw,
    (raw) => (Array.isArray(raw) ? raw as Array<RawResult> : [raw as RawResult]).flatMap((result) => result.rows ?? [])
  )

/**
 * The same for a statement of the library. See `own`.
 *
 * @internal
 */
export const executeOwn: typeof execute = (sql, text, values) => execute(sql, own(text), values)

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

/** Where the connection of a transaction has `Connection.endWith`. Those of other clients do not. */
export const endsWith = Symbol.for("lastcall/Database/endsWith")

/**
 * Runs `work` in a transaction, and then, as the last of it, the statement that it gives, which has at least one value and finds its rows by a
 * primary key. That is sent with the commit in one message, and planned once, where the client can. Returns the rows of the statement too. Errors of
 * the statement go through `onError`. The caller is in no transaction.
 *
 * @internal
 */
export const transactionEnding = <A, E, R, E2>(
  sql: SqlClient.SqlClient,
  work: Effect.Effect<readonly [value: A, text: string, values: ReadonlyArray<unknown>], E, R>,
  onError: (error: unknown) => E2
): Effect.Effect<readonly [A, ReadonlyArray<Row>], E | E2, R> =>
  Effect.suspend(() => {
    let rows: ReadonlyArray<Row> = []
    const end = (text: string, values: ReadonlyArray<unknown>) =>
      Effect.withFiberRuntime<void, E2>((fiber) => {
        const connection = serviceOf(fiber, TransactionTag)?.[0]
        if (!Predicate.hasProperty(connection, endsWith)) {
          return Effect.mapBoth(executeOwn(sql, text, values), {
            onFailure: onError,
            onSuccess: (result) => {
              rows = result
            }
          })
        }
        const endWith = connection[endsWith] as (ending: Ending) => void
        endWith({
          text: own(text),
          values,
          onResult: (result) => {
            rows = (result as RawResult).rows ?? []
          }
        })
        return Effect.void
      })
    return Effect.map(
      transaction(
        sql,
        Effect.flatMap(work, ([value, text, values]) => Effect.as(end(text, values), value)),
        onError
      ),
      (value) => [value, rows] as const
    )
  })
