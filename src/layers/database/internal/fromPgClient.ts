import type { PgClient } from "@effect/sql-pg"
import { Context, Deferred, Duration, Effect, FiberId, Option, Redacted, Scope } from "effect"
import { once } from "../../../core/internal/once.js"
import { Database, PgClientTag, TransactionTag } from "../contract.js"
import { makeErrors } from "./errors.js"
import { loadPostgresThread } from "./loadPostgresThread.js"
import { postgresPeers } from "./peers.js"
import { makeListening } from "./postgresListener.js"

/** Runs the effect outside of the transaction around it. */
const alone = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.mapInputContext(
    effect,
    (context: Context.Context<R>) =>
      Context.omit(TransactionTag)(context as Context.Context<R | typeof TransactionTag.Identifier>) as Context.Context<
        R
      >
  )

/** The same client, joining no transaction. */
const outsideOfTransactions = (sql: PgClient.PgClient, peers: Effect.Effect.Success<typeof postgresPeers>) => {
  const { Statement } = peers["@effect/sql"]
  const statements = Statement.make(
    Effect.succeed({
      execute: (text, values) => alone(sql.unsafe(text, values).withoutTransform),
      executeUnprepared: (text, values) => alone(sql.unsafe(text, values).withoutTransform),
      executeRaw: (text, values) => alone(sql.unsafe(text, values).raw),
      executeValues: (text, values) => alone(sql.unsafe(text, values).values),
      executeStream: (text, values) => sql.unsafe(text, values).stream
    }),
    peers["@effect/sql-pg"].makeCompiler(),
    [],
    undefined
  )
  const client: PgClient.PgClient = Object.assign(statements, {
    ...sql,
    ...statements,
    withTransaction: <A, E, R>(effect: Effect.Effect<A, E, R>) => alone(sql.withTransaction(effect))
  }) as unknown as PgClient.PgClient
  return Object.assign(client, { safe: client, withoutTransforms: () => client })
}

/** See `Database.fromPgClient`. */
export const fromPgClient: Effect.Effect<
  Context.Context<Database>,
  never,
  PgClient.PgClient | Scope.Scope
> = Effect.gen(function*() {
  const peers = yield* postgresPeers
  const pg = peers.pg.default
  const sql = yield* PgClientTag
  const { config } = sql
  const server = {
    ...config,
    url: config.url === undefined ? undefined : Redacted.value(config.url),
    connectTimeout: Duration.decode(config.connectTimeout ?? "5 seconds")
  }
  const closed = Deferred.unsafeMake<void>(FiberId.none)
  const scope = yield* Effect.scope
  yield* Effect.addFinalizer(() => Deferred.succeed(closed, void 0))
  const notify = (channel: string, payload: string) =>
    Effect.asVoid(sql.unsafe("SELECT pg_notify($1, $2)", [channel, payload]).raw)
  const { hear } = makeListening({
    pg,
    server,
    errors: makeErrors(peers["@effect/sql"]),
    notify: (channel, payload) => alone(notify(channel, payload)),
    closed: Deferred.await(closed)
  })
  return Context.make(Database, {
    kind: "postgres",
    connections: Option.fromNullable(config.maxConnections),
    reserved: outsideOfTransactions(sql, peers),
    listen: hear,
    thread: once(() => Scope.extend(loadPostgresThread(pg, server), scope))(),
    notify
  })
})
