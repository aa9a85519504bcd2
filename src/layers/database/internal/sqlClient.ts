import type { Reactivity } from "@effect/experimental/Reactivity"
import type { SqlClient, SqlConnection, SqlError, Statement } from "@effect/sql"
import type { PgClient } from "@effect/sql-pg"
import { Chunk, Context, Effect, Option, Stream } from "effect"
import { TransactionTag } from "../contract.js"
import type { Connection, Query, QueryResult } from "./connection.js"
import type { ConnectionPool } from "./connectionPool.js"
import { makeErrors } from "./errors.js"
import type { Peers } from "./peers.js"
import { makeWithTransaction, type Transaction } from "./transaction.js"

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

/** The connection of a transaction, or one that was reserved. */
const ofConnection = (connection: Connection) =>
  makeSqlConnection((text, values, rowMode) => connection.query(text, values, rowMode), Effect.succeed(connection))

/** The transactions that all users of `SqlClient` share, through the Tag of `@effect/sql`. */
export const sharedTransaction = TransactionTag

/** Transactions of one client alone: its statements never join a transaction of another client. */
export const ownTransaction = Context.GenericTag<"lastcall/Database/OwnTransaction", Transaction>(
  "lastcall/Database/OwnTransaction"
)

type PgCustom = Statement.Custom<"PgJson", unknown>

/** `PgClient` over leased connections: the same code for Postgres and PGlite. */
export const makeSqlClient = <I>(options: {
  readonly peers: {
    readonly "@effect/sql": Peers["@effect/sql"]
    readonly "@effect/sql-pg": Pick<Peers["@effect/sql-pg"], "makeCompiler" | "TypeId">
  }
  readonly reactivity: Reactivity.Service
  /** `sharedTransaction` or `ownTransaction`. */
  readonly tag: Context.Tag<I, Transaction>
  readonly pool: ConnectionPool
  readonly begin: string
  readonly config: PgClient.PgClientConfig
  readonly listen: (channel: string) => Stream.Stream<string>
}): PgClient.PgClient => {
  const { begin, config, peers, pool, reactivity, tag } = options
  const { SqlClient, Statement } = peers["@effect/sql"]
  const { transformJson, transformQueryNames, transformResultNames } = config
  const errors = makeErrors(peers["@effect/sql"])
  const spanAttributes: ReadonlyArray<readonly [string, unknown]> = Object.entries({
    ...config.spanAttributes,
    "db.system.name": "postgresql",
    "db.namespace": config.database,
    ...(config.host !== undefined && { "server.address": config.host, "server.port": config.port })
  })
  const compiler = peers["@effect/sql-pg"].makeCompiler(transformQueryNames, transformJson)
  const transformRows = transformResultNames && Statement.defaultTransforms(transformResultNames, transformJson).array
  const pooled = Effect.succeed(makeSqlConnection(pool.query, pool.lease))
  const acquirer: SqlConnection.Connection.Acquirer = Effect.withFiberRuntime((fiber) => {
    const around = Context.getOption(fiber.currentContext as Context.Context<never>, tag)
    return Option.isSome(around) ? Effect.succeed(around.value[0]) : pooled
  })
  const own = {
    [SqlClient.TypeId as SqlClient.TypeId]: SqlClient.TypeId as SqlClient.TypeId,
    [peers["@effect/sql-pg"].TypeId]: peers["@effect/sql-pg"].TypeId,
    config,
    json: Statement.custom<PgCustom>("PgJson"),
    listen: (channel: string) => Stream.filter(options.listen(channel), (payload) => payload !== ""),
    withTransaction: makeWithTransaction({ tag, pool, begin, spanAttributes, errors, toSqlConnection: ofConnection }),
    reserve: Effect.map(pool.lease, ofConnection),
    reactive: reactivity.stream,
    reactiveMailbox: reactivity.query
  }
  const make = (withTransforms: boolean): PgClient.PgClient => {
    const client = Object.assign(
      withTransforms
        ? Statement.make(acquirer, compiler, spanAttributes, transformRows)
        : Statement.make(acquirer, compiler.withoutTransform, spanAttributes, undefined),
      own,
      {
        notify: (channel: string, payload: string) =>
          Effect.asVoid(client.unsafe("SELECT pg_notify($1, $2)", [channel, payload]).raw),
        withoutTransforms: (): PgClient.PgClient =>
          transformRows === undefined || !withTransforms ? client : make(false)
      }
    ) as unknown as PgClient.PgClient
    return Object.assign(client, { safe: client })
  }
  return make(true)
}
