/**
 * `PgClient` over leased connections, with the statements and the compiler of the libraries. `PgClient.fromPool` needs a `pg.Pool`, which
 * PGlite does not have, and brings the faults that the other files name; `SqlClient.make` brings its own `withTransaction`, and one Tag for all
 * transactions, so that the reserved client would join those of the app.
 */
import type { Reactivity } from "@effect/experimental/Reactivity"
import type { SqlClient, SqlConnection, SqlError, Statement } from "@effect/sql"
import type { PgClient } from "@effect/sql-pg"
import { Chunk, Context, Duration, Effect, Option, Stream } from "effect"
import { serviceOf } from "../../../core/internal/fiberState.js"
import { exportsNoSpans } from "../../../core/internal/lazySpan.js"
import { endsWith, type RunRaw, runsRaw } from "../contract.js"
import type { Connection } from "./connection.js"
import type { ConnectionPool } from "./connectionPool.js"
import type { Ending, Query } from "./driverConnection.js"
import { type Errors, makeErrors } from "./errors.js"
import type { Peers } from "./peers.js"
import { cursorStreams, portalStreams, rowsOf, type Streaming, type WithTimeout } from "./streams.js"
import { makeWithTransaction, type Transaction } from "./transaction.js"

/** The connection that `@effect/sql` sees: that of a transaction, or any of the pool for each statement. */
const makeSqlConnection = (query: Query, stream: Streaming): SqlConnection.Connection => {
  const execute: SqlConnection.Connection["execute"] = (sql, params, transform) =>
    Effect.map(query(sql, params, "object"), (result) => transform ? transform(rowsOf(result)) : rowsOf(result))
  return {
    execute,
    executeUnprepared: execute,
    executeRaw: (sql, params) => query(sql, params, "object"),
    executeValues: (sql, params) =>
      Effect.map(query(sql, params, "array"), (result) => rowsOf(result) as ReadonlyArray<ReadonlyArray<unknown>>),
    executeStream: (sql, params, transform) =>
      Stream.mapChunks(
        stream(sql, params),
        (rows) => transform ? Chunk.unsafeFromArray([...transform(Chunk.toReadonlyArray(rows))]) : rows
      )
  }
}

/** Transactions of one client alone: its statements never join a transaction of another client. */
export const ownTransaction = Context.GenericTag<"lastcall/Database/OwnTransaction", Transaction>(
  "lastcall/Database/OwnTransaction"
)

/** Cancels a statement after this time, also in an uninterruptible region. */
const withTimeout = (timeout: Duration.Duration, errors: Errors): WithTimeout => (statement) =>
  Duration.isFinite(timeout)
    ? Effect.raceFirst(
      Effect.interruptible(statement),
      Effect.interruptible(Effect.zipRight(Effect.sleep(timeout), Effect.suspend(() => errors.timedOut(timeout))))
    )
    : statement

type PgCustom = Statement.Custom<"PgJson", unknown>

/** `PgClient` over leased connections: the same code for Postgres and PGlite. */
export const makeSqlClient = <I>(options: {
  readonly peers: {
    readonly "@effect/sql": Peers["@effect/sql"]
    readonly "@effect/sql-pg": Pick<Peers["@effect/sql-pg"], "makeCompiler" | "TypeId">
  }
  readonly reactivity: Reactivity.Service
  /** `TransactionTag`, which all users of `SqlClient` share, or `ownTransaction`. */
  readonly tag: Context.Tag<I, Transaction>
  readonly pool: ConnectionPool
  readonly begin: ReadonlyArray<string>
  readonly config: PgClient.PgClientConfig
  readonly listen: (channel: string) => Stream.Stream<string, SqlError.SqlError>
  /** Whether the driver has portals. */
  readonly portals: boolean
  readonly statementTimeout: Duration.Duration
}): PgClient.PgClient => {
  const { begin, config, peers, pool, reactivity, tag } = options
  const { SqlClient, Statement } = peers["@effect/sql"]
  const { transformJson, transformQueryNames, transformResultNames } = config
  const errors = makeErrors(peers["@effect/sql"])
  const spanAttributes: Readonly<Record<string, unknown>> = {
    ...config.spanAttributes,
    "db.system.name": "postgresql",
    "db.namespace": config.database,
    ...(config.host !== undefined && { "server.address": config.host, "server.port": config.port })
  }
  const spanEntries = Object.entries(spanAttributes)
  const compiler = peers["@effect/sql-pg"].makeCompiler(transformQueryNames, transformJson)
  const transformRows = transformResultNames && Statement.defaultTransforms(transformResultNames, transformJson).array
  const timed = withTimeout(options.statementTimeout, errors)
  const { ofLease, ofPool } = options.portals ? portalStreams(pool, errors, timed) : cursorStreams(pool)
  const anyConnection = makeSqlConnection((...statement) => timed(pool.query(...statement)), ofPool)
  const pooled = Effect.succeed(anyConnection)
  /** The connection of a transaction, or one that was reserved. */
  const ofConnection = (connection: Connection) =>
    Object.assign(
      makeSqlConnection(
        (...statement) => timed(connection.query(...statement)),
        ofLease(connection)
      ),
      { [endsWith]: (ending: Ending) => connection.endWith(ending) }
    )
  const acquirer: SqlConnection.Connection.Acquirer = Effect.withFiberRuntime((fiber) => {
    const around = serviceOf(fiber, tag)
    return around === undefined ? pooled : Effect.succeed(around[0])
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
  /**
   * Without the span of a statement where nothing exports it, and without its scope: a statement takes four times as many operations of Effect's run loop.
   * Transformers of statements see each statement as ever.
   */
  const runRaw = (client: PgClient.PgClient, text: string, values: ReadonlyArray<unknown>) =>
    Effect.withFiberRuntime<unknown, SqlError.SqlError>((fiber) => {
      const isBare = exportsNoSpans(fiber) && Option.isNone(fiber.getFiberRef(Statement.currentTransformer))
      if (!isBare) return client.unsafe(text, values).raw
      const [connection] = serviceOf(fiber, tag) ?? [anyConnection]
      return connection.executeRaw(text, values)
    })
  const make = (withTransforms: boolean): PgClient.PgClient => {
    const client = Object.assign(
      withTransforms
        ? Statement.make(acquirer, compiler, spanEntries, transformRows)
        : Statement.make(acquirer, compiler.withoutTransform, spanEntries, undefined),
      own,
      {
        notify: (channel: string, payload: string) =>
          Effect.asVoid(client.unsafe("SELECT pg_notify($1, $2)", [channel, payload]).raw),
        [runsRaw]: ((text, values = []) => runRaw(client, text, values)) satisfies RunRaw,
        withoutTransforms: (): PgClient.PgClient =>
          transformRows === undefined || !withTransforms ? client : make(false)
      }
    ) as unknown as PgClient.PgClient
    return Object.assign(client, { safe: client })
  }
  return make(true)
}
