import type { Reactivity } from "@effect/experimental/Reactivity"
import type { SqlClient, SqlConnection, SqlError } from "@effect/sql"
import { Chunk, Context, Effect, Exit, FiberRef, Option, Stream, Tracer } from "effect"
import { forgetAfterRollback, runAfterCommit } from "../../../core/internal/afterCommit.js"
import { TransactionTag } from "../contract.js"
import type { Connection, Query, QueryResult } from "./connection.js"
import type { ConnectionPool } from "./connectionPool.js"
import { type Errors, makeErrors } from "./errors.js"
import type { Peers } from "./peers.js"

const rowsOf = (result: QueryResult): ReadonlyArray<object> =>
  (Array.isArray(result) ? result.map(({ rows }) => rows) : result.rows) as ReadonlyArray<object>

const fetchSize = 256

const isQuery = (sql: string) => /^\s*(select|values|table|with|\()/i.test(sql)

/** By a cursor of SQL, which every driver has; `WITH HOLD`, so that it needs no transaction around it. */
const streamOf = (
  connection: Connection,
  sql: string,
  params: ReadonlyArray<unknown>,
  transform: Parameters<SqlConnection.Connection["executeStream"]>[2]
): Stream.Stream<object, SqlError.SqlError> => {
  const query: Query = (...statement) => connection.query(...statement)
  const cursor = `lastcall_cursor_${connection.cursors++}`
  const fetch = Effect.flatMap(
    query(`FETCH ${fetchSize} FROM ${cursor}`, [], "object"),
    (result) => {
      const rows = rowsOf(result)
      return rows.length === 0
        ? Effect.fail(Option.none())
        : Effect.succeed(Chunk.unsafeFromArray([...(transform ? transform(rows) : rows)]))
    }
  )
  return Stream.acquireRelease(
    query(`DECLARE ${cursor} NO SCROLL CURSOR WITH HOLD FOR ${sql}`, params, "object"),
    () => Effect.ignore(query(`CLOSE ${cursor}`, [], "object"))
  ).pipe(
    Stream.flatMap(() =>
      Stream.repeatEffectChunkOption(
        Effect.mapError(fetch, (error) => Option.isOption(error) ? error : Option.some(error))
      )
    )
  )
}

/** The connection that `@effect/sql` sees: that of a transaction, or any of the pool for each statement. */
const makeSqlConnection = (
  query: Query,
  lease: ConnectionPool["lease"]
): SqlConnection.Connection => {
  const execute: SqlConnection.Connection["execute"] = (sql, params, transform) =>
    Effect.map(query(sql, params, "object"), (result) => transform ? transform(rowsOf(result)) : rowsOf(result))
  return {
    execute,
    executeUnprepared: execute,
    executeRaw: (sql, params) => query(sql, params, "object"),
    executeValues: (sql, params) =>
      Effect.map(query(sql, params, "array"), (result) => rowsOf(result) as ReadonlyArray<ReadonlyArray<unknown>>),
    executeStream: (sql, params, transform) =>
      isQuery(sql)
        ? Stream.unwrapScoped(Effect.map(lease, (connection) => streamOf(connection, sql, params, transform)))
        : Stream.fromIterableEffect(execute(sql, params, transform))
  }
}

const ofConnection = (connection: Connection) =>
  makeSqlConnection((text, values, rowMode) => connection.query(text, values, rowMode), Effect.succeed(connection))

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
  readonly pool: ConnectionPool
  readonly begin: string
  readonly spanAttributes: ReadonlyArray<readonly [string, unknown]>
  readonly errors: Errors
}): SqlClient.SqlClient["withTransaction"] =>
<R, E, A>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError.SqlError, R> =>
  Effect.uninterruptibleMask((restore) => {
    const { begin, errors, pool, spanAttributes, tag } = options

    const commit = (connection: Connection) =>
      Effect.flatMap(
        connection.commit("COMMIT"),
        (result) => !Array.isArray(result) && result.command === "ROLLBACK" ? errors.notCommitted() : Effect.void
      )

    const outermost = (body: (connection: SqlConnection.Connection, depth: number) => Effect.Effect<A, E, R>) =>
      Effect.flatMap(pool.acquire(restore), (connection) =>
        restore(connection.query(begin, [], "object")).pipe(
          Effect.zipRight(body(ofConnection(connection), 0)),
          Effect.zipLeft(commit(connection)),
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
  readonly pool: ConnectionPool
  readonly begin: string
  readonly attributes: Readonly<Record<string, unknown>>
}): SqlClient.SqlClient => {
  const { attributes, begin, peers, pool, reactivity, tag } = options
  const { SqlClient, Statement } = peers["@effect/sql"]
  const errors = makeErrors(peers["@effect/sql"])
  const spanAttributes = Object.entries({ "db.system.name": "postgresql", ...attributes })
  const pooled = Effect.succeed(makeSqlConnection(pool.query, pool.lease))
  const acquirer: SqlConnection.Connection.Acquirer = Effect.withFiberRuntime((fiber) => {
    const around = Context.getOption(fiber.currentContext as Context.Context<never>, tag)
    return Option.isSome(around) ? Effect.succeed(around.value[0]) : pooled
  })
  const client = Object.assign(
    Statement.make(acquirer, peers["@effect/sql-pg"].makeCompiler(), spanAttributes, undefined),
    {
      [SqlClient.TypeId as SqlClient.TypeId]: SqlClient.TypeId as SqlClient.TypeId,
      withTransaction: makeWithTransaction({ tag, pool, begin, spanAttributes, errors }),
      reserve: Effect.map(pool.lease, ofConnection),
      reactive: reactivity.stream,
      reactiveMailbox: reactivity.query
    }
  )
  return Object.assign(client, { safe: client, withoutTransforms: () => client }) as SqlClient.SqlClient
}
