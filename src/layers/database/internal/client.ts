import { Reactivity } from "@effect/experimental"
import { SqlClient, type SqlConnection, type SqlError, Statement } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { Chunk, Context, Effect, Exit, Option, Stream } from "effect"
import type { Checkout } from "./checkouts.js"
import { type Answer, type Session, sqlError } from "./session.js"

const rowsOf = (answer: Answer): ReadonlyArray<object> =>
  (Array.isArray(answer) ? answer.map((result) => result.rows) : answer.rows) as ReadonlyArray<object>

const fetchSize = 256

const isQuery = (sql: string) => /^\s*(select|values|table|with|\()/i.test(sql)

class Connection implements SqlConnection.Connection {
  private cursors = 0
  constructor(readonly session: Session) {}

  execute: SqlConnection.Connection["execute"] = (sql, params, transform) =>
    Effect.map(this.session.query(sql, params), (answer) => transform ? transform(rowsOf(answer)) : rowsOf(answer))

  executeUnprepared: SqlConnection.Connection["executeUnprepared"] = (sql, params, transform) =>
    this.execute(sql, params, transform)

  executeRaw: SqlConnection.Connection["executeRaw"] = (sql, params) => this.session.query(sql, params)

  executeValues: SqlConnection.Connection["executeValues"] = (sql, params) =>
    Effect.map(
      this.session.query(sql, params, "array"),
      (answer) => rowsOf(answer) as ReadonlyArray<ReadonlyArray<unknown>>
    )

  /** By a cursor of SQL, which every driver has; `WITH HOLD`, so that it needs no transaction around it. */
  executeStream: SqlConnection.Connection["executeStream"] = (sql, params, transform) => {
    if (!isQuery(sql)) return Stream.fromIterableEffect(this.execute(sql, params, transform))
    const cursor = `lastcall_cursor_${this.cursors++}`
    const fetch = Effect.flatMap(
      this.execute(`FETCH ${fetchSize} FROM ${cursor}`, [], transform),
      (rows) => rows.length === 0 ? Effect.fail(Option.none()) : Effect.succeed(Chunk.unsafeFromArray([...rows]))
    )
    return Stream.acquireRelease(
      this.session.query(`DECLARE ${cursor} NO SCROLL CURSOR WITH HOLD FOR ${sql}`, params),
      () => Effect.ignore(this.session.query(`CLOSE ${cursor}`))
    ).pipe(
      Stream.flatMap(() =>
        Stream.repeatEffectChunkOption(
          Effect.mapError(fetch, (error) => Option.isOption(error) ? error : Option.some(error))
        )
      )
    )
  }
}

type Transaction = readonly [connection: SqlConnection.Connection, depth: number]

/**
 * A transaction like that of `SqlClient.make`, except that waiting for a connection is as interruptible as the caller,
 * that a failing `COMMIT` is an error instead of a defect, that a failing `ROLLBACK` does not hide why it was needed,
 * and that a `COMMIT` which the server answered with a rollback has failed: after a failed statement whose error was
 * caught, Postgres takes it for a `ROLLBACK` and reports no error.
 */
const makeWithTransaction = <I>(
  tag: Context.Tag<I, Transaction>,
  checkout: Checkout,
  begin: string,
  spanAttributes: ReadonlyArray<readonly [string, unknown]>
): SqlClient.SqlClient["withTransaction"] =>
<R, E, A>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError.SqlError, R> =>
  Effect.uninterruptibleMask((restore) => {
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
            // Should this fail, the transaction is aborted, and its COMMIT fails.
            : Effect.zipRight(Effect.ignore(run(`ROLLBACK TO SAVEPOINT ${savepoint}`)), exit)
        )
      )
    }

    const outermost = Effect.scoped(Effect.flatMap(restore(checkout), (session) =>
      restore(session.query(begin)).pipe(
        Effect.zipRight(Effect.flatten(body(new Connection(session), 0))),
        Effect.zipLeft(commit(session)),
        Effect.onError(() => session.rollback)
      )))

    return Effect.useSpan("sql.transaction", {
      kind: "client",
      captureStackTrace: false,
      attributes: Object.fromEntries(spanAttributes)
    }, () =>
      Effect.flatMap(
        Effect.serviceOption(tag),
        Option.match({
          onNone: () => outermost,
          onSome: ([connection, depth]) => nested(connection, depth + 1)
        })
      ))
  })

const commit = (session: Session) =>
  Effect.filterOrFail(
    session.settle("COMMIT"),
    (result) => Array.isArray(result) || result.command !== "ROLLBACK",
    () =>
      sqlError(
        "The transaction was rolled back, not committed",
        new Error("One of its statements had failed, and the error was caught inside the transaction")
      )
  )

/** Its transactions are those that `SqlClient` users share, through the Tag of `@effect/sql`. */
export const sharedTransaction = SqlClient.TransactionConnection

/** Its transactions are its own: a statement never joins a transaction that another client has open. */
export const ownTransaction = Context.GenericTag<"lastcall/Database/OwnTransaction", Transaction>(
  "lastcall/Database/OwnTransaction"
)

/**
 * `SqlClient` over connections that are checked out: Postgres or PGlite, the same code.
 */
export const makeClient = <I>(
  tag: Context.Tag<I, Transaction>,
  checkout: Checkout,
  begin: string,
  attributes: Readonly<Record<string, unknown>>
): Effect.Effect<SqlClient.SqlClient, never, Reactivity.Reactivity> =>
  Effect.map(Reactivity.Reactivity, (reactivity) => {
    const spanAttributes = Object.entries({ "db.system.name": "postgresql", ...attributes })
    const reserve: SqlConnection.Connection.Acquirer = Effect.map(checkout, (session) => new Connection(session))
    const acquirer: SqlConnection.Connection.Acquirer = Effect.flatMap(
      Effect.serviceOption(tag),
      Option.match({ onNone: () => reserve, onSome: ([connection]) => Effect.succeed(connection) })
    )
    const client = Object.assign(
      Statement.make(acquirer, PgClient.makeCompiler(), spanAttributes, undefined),
      {
        [SqlClient.TypeId as SqlClient.TypeId]: SqlClient.TypeId as SqlClient.TypeId,
        withTransaction: makeWithTransaction(tag, checkout, begin, spanAttributes),
        reserve,
        reactive: reactivity.stream,
        reactiveMailbox: reactivity.query
      }
    )
    return Object.assign(client, { safe: client, withoutTransforms: () => client }) as SqlClient.SqlClient
  })
