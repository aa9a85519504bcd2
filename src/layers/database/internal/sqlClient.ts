import type { Reactivity } from "@effect/experimental/Reactivity"
import type { SqlClient, SqlConnection, SqlError } from "@effect/sql"
import { Chunk, Context, Effect, Exit, Option, Stream } from "effect"
import { forgetAfterRollback, runAfterCommit } from "../../../core/internal/afterCommit.js"
import { TransactionTag } from "../contract.js"
import { type Connection, type ConnectionError, connectionError, type QueryResult } from "./connection.js"
import type { Lease } from "./connectionPool.js"
import type { Peers } from "./peers.js"

const rowsOf = (result: QueryResult): ReadonlyArray<object> =>
  (Array.isArray(result) ? result.map(({ rows }) => rows) : result.rows) as ReadonlyArray<object>

const fetchSize = 256

const isQuery = (sql: string) => /^\s*(select|values|table|with|\()/i.test(sql)

type ToSqlError = (error: ConnectionError) => SqlError.SqlError

const makeSqlConnection = (connection: Connection, toSqlError: ToSqlError): SqlConnection.Connection => {
  let cursors = 0

  const query = (...statement: Parameters<Connection["query"]>) =>
    Effect.mapError(connection.query(...statement), toSqlError)

  const execute: SqlConnection.Connection["execute"] = (sql, params, transform) =>
    Effect.map(query(sql, params), (result) => transform ? transform(rowsOf(result)) : rowsOf(result))

  return {
    execute,
    executeUnprepared: execute,
    executeRaw: query,
    executeValues: (sql, params) =>
      Effect.map(query(sql, params, "array"), (result) => rowsOf(result) as ReadonlyArray<ReadonlyArray<unknown>>),
    /** By a cursor of SQL, which every driver has; `WITH HOLD`, so that it needs no transaction around it. */
    executeStream: (sql, params, transform) => {
      if (!isQuery(sql)) return Stream.fromIterableEffect(execute(sql, params, transform))
      const cursor = `lastcall_cursor_${cursors++}`
      const fetch = Effect.flatMap(
        execute(`FETCH ${fetchSize} FROM ${cursor}`, [], transform),
        (rows) => rows.length === 0 ? Effect.fail(Option.none()) : Effect.succeed(Chunk.unsafeFromArray([...rows]))
      )
      return Stream.acquireRelease(
        query(`DECLARE ${cursor} NO SCROLL CURSOR WITH HOLD FOR ${sql}`, params),
        () => Effect.ignore(query(`CLOSE ${cursor}`))
      ).pipe(
        Stream.flatMap(() =>
          Stream.repeatEffectChunkOption(
            Effect.mapError(fetch, (error) => Option.isOption(error) ? error : Option.some(error))
          )
        )
      )
    }
  }
}

type Transaction = readonly [connection: SqlConnection.Connection, depth: number]

/**
 * A transaction like that of `SqlClient.make`, except that:
 *
 * - waiting for a connection is as interruptible as the caller;
 * - a failed `COMMIT` is an error, not a defect, and a failed `ROLLBACK` does not replace the error that caused it;
 * - a `COMMIT` that the server answers with a rollback fails. Postgres does so, without an error, when a statement failed and the
 *   transaction caught its error.
 */
const makeWithTransaction = <I>(options: {
  readonly tag: Context.Tag<I, Transaction>
  readonly lease: Lease
  readonly begin: string
  readonly spanAttributes: ReadonlyArray<readonly [string, unknown]>
  readonly toSqlError: ToSqlError
}): SqlClient.SqlClient["withTransaction"] =>
<R, E, A>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError.SqlError, R> =>
  Effect.uninterruptibleMask((restore) => {
    const { begin, lease, spanAttributes, tag, toSqlError } = options

    const body = (connection: SqlConnection.Connection, depth: number) =>
      Effect.exit(restore(
        Effect.mapInputContext(effect, (context: Context.Context<R>): Context.Context<R> =>
          Context.add(context, tag, [connection, depth]))
      ))

    const nested = (
      connection: SqlConnection.Connection,
      depth: number
    ): Effect.Effect<A, E | SqlError.SqlError, R> => {
      const savepoint = `effect_sql_${depth}`
      const run = (sql: string) => connection.executeUnprepared(sql, [], undefined)
      return Effect.zipRight(restore(run(`SAVEPOINT ${savepoint}`)), body(connection, depth)).pipe(
        Effect.flatMap((exit): Effect.Effect<A, E | SqlError.SqlError> =>
          Exit.isSuccess(exit)
            ? Effect.as(restore(run(`RELEASE SAVEPOINT ${savepoint}`)), exit.value)
            // If this fails, the transaction is aborted and its COMMIT fails.
            : Effect.zipRight(Effect.ignore(run(`ROLLBACK TO SAVEPOINT ${savepoint}`)), exit)
        )
      )
    }

    const outermost = Effect.scoped(
      Effect.flatMap(
        restore(Effect.mapError(lease, toSqlError)),
        (connection) =>
          restore(Effect.mapError(connection.query(begin), toSqlError)).pipe(
            Effect.zipRight(Effect.flatten(body(makeSqlConnection(connection, toSqlError), 0))),
            Effect.zipLeft(Effect.mapError(commit(connection), toSqlError)),
            Effect.onError(() => connection.rollback)
          )
      )
    )

    return Effect.useSpan("sql.transaction", {
      kind: "client",
      captureStackTrace: false,
      attributes: Object.fromEntries(spanAttributes)
    }, () =>
      Effect.flatMap(
        Effect.serviceOption(tag),
        Option.match({
          onNone: () => runAfterCommit(outermost),
          onSome: ([connection, depth]) => forgetAfterRollback(nested(connection, depth + 1))
        })
      ))
  })

const commit = (connection: Connection) =>
  Effect.filterOrFail(
    connection.commit("COMMIT"),
    (result) => Array.isArray(result) || result.command !== "ROLLBACK",
    () =>
      connectionError(
        "The transaction was rolled back, not committed",
        new Error("One of its statements had failed, and the error was caught inside the transaction")
      )
  )

/** The transactions that all users of `SqlClient` share, through the Tag of `@effect/sql`. */
export const sharedTransaction = TransactionTag

/** Transactions of one client alone: its statements never join a transaction of another client. */
export const ownTransaction = Context.GenericTag<"lastcall/Database/OwnTransaction", Transaction>(
  "lastcall/Database/OwnTransaction"
)

/** `SqlClient` over leased connections: the same code for Postgres and PGlite. */
export const makeSqlClient = <I>(options: {
  readonly peers: {
    readonly "@effect/sql": Peers["@effect/sql"]
    readonly "@effect/sql-pg": Pick<Peers["@effect/sql-pg"], "makeCompiler">
  }
  readonly reactivity: Reactivity.Service
  /** `sharedTransaction` or `ownTransaction`. */
  readonly tag: Context.Tag<I, Transaction>
  readonly lease: Lease
  readonly begin: string
  readonly attributes: Readonly<Record<string, unknown>>
}): SqlClient.SqlClient => {
  const { attributes, begin, lease, peers, reactivity, tag } = options
  const { SqlClient, SqlError, Statement } = peers["@effect/sql"]
  const toSqlError: ToSqlError = ({ cause, message }) => new SqlError.SqlError({ message, cause })
  const spanAttributes = Object.entries({ "db.system.name": "postgresql", ...attributes })
  const reserve: SqlConnection.Connection.Acquirer = Effect.mapBoth(lease, {
    onFailure: toSqlError,
    onSuccess: (connection) => makeSqlConnection(connection, toSqlError)
  })
  const acquirer: SqlConnection.Connection.Acquirer = Effect.flatMap(
    Effect.serviceOption(tag),
    Option.match({ onNone: () => reserve, onSome: ([connection]) => Effect.succeed(connection) })
  )
  const client = Object.assign(
    Statement.make(acquirer, peers["@effect/sql-pg"].makeCompiler(), spanAttributes, undefined),
    {
      [SqlClient.TypeId as SqlClient.TypeId]: SqlClient.TypeId as SqlClient.TypeId,
      withTransaction: makeWithTransaction({ tag, lease, begin, spanAttributes, toSqlError }),
      reserve,
      reactive: reactivity.stream,
      reactiveMailbox: reactivity.query
    }
  )
  return Object.assign(client, { safe: client, withoutTransforms: () => client }) as SqlClient.SqlClient
}
