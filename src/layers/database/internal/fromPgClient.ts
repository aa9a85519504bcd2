/**
 * What `Database` adds to an app's own `PgClient`: a client apart from the app's transactions (its `reserve` is none: a wait for it that is
 * interrupted loses a connection), and `listen` and `notify` that work (sql-pg-leak and sql-pg-listen in docs/upstream; its `notify` always fails).
 */
import type { PgClient } from "@effect/sql-pg"
import { Context, Deferred, Duration, Effect, FiberId, Option, Redacted, Scope, Stream } from "effect"
import { once } from "../../../core/internal/once.js"
import { Database, PgClientTag, TransactionTag } from "../contract.js"
import { makeErrors } from "./errors.js"
import { loadPostgresThread } from "./loadPostgresThread.js"
import { postgresPeers } from "./peers.js"
import { makeListening } from "./postgresListener.js"
import { ownTransaction } from "./sqlClient.js"

/** Puts a transaction, or none, into the place of the tag. */
const put = <I, S, R>(context: Context.Context<R>, tag: Context.Tag<I, S>, transaction: Option.Option<S>) =>
  Option.match(transaction, {
    onNone: () => Context.omit(tag)(context as Context.Context<I | R>),
    onSome: (transaction) => Context.add(context, tag, transaction)
  }) as Context.Context<R>

const optionOf = <R, I, S>(context: Context.Context<R>, tag: Context.Tag<I, S>) =>
  Context.getOption(context as Context.Context<never>, tag)

/** The transaction of the app and that of the reserved client in each other's place. */
const exchanged = <R>(context: Context.Context<R>): Context.Context<R> =>
  put(
    put(context, TransactionTag, optionOf(context, ownTransaction)),
    ownTransaction,
    optionOf(context, TransactionTag)
  )

/** Runs the effect where the transaction of the reserved client is that around it. Twice, it has no effect. */
const apart = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.mapInputContext(effect, exchanged<R>)

/** The same client, apart from the transactions of the app: it joins its own. */
const outsideOfTransactions = (sql: PgClient.PgClient, peers: Effect.Effect.Success<typeof postgresPeers>) => {
  const { Statement } = peers["@effect/sql"]
  const statements = Statement.make(
    Effect.succeed({
      execute: (text, values) => apart(sql.unsafe(text, values).withoutTransform),
      executeUnprepared: (text, values) => apart(sql.unsafe(text, values).withoutTransform),
      executeRaw: (text, values) => apart(sql.unsafe(text, values).raw),
      executeValues: (text, values) => apart(sql.unsafe(text, values).values),
      executeStream: (text, values) => Stream.mapInputContext(sql.unsafe(text, values).stream, exchanged)
    }),
    peers["@effect/sql-pg"].makeCompiler(),
    [],
    undefined
  )
  const client: PgClient.PgClient = Object.assign(statements, {
    ...sql,
    ...statements,
    withTransaction: <A, E, R>(effect: Effect.Effect<A, E, R>) => apart(sql.withTransaction(apart(effect)))
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
    // On a connection of its own, whatever transaction the listener is in.
    notify: (channel, payload) =>
      Effect.mapInputContext(
        notify(channel, payload),
        (context: Context.Context<never>) => put(context, TransactionTag, Option.none())
      ),
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
