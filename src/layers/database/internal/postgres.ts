/** A PostgreSQL server: two pools of connections, and one connection for each listener. */
import { Deferred, Duration, Effect, type Exit, FiberId, Option } from "effect"
import type { Duplex } from "node:stream"
import type * as PgTypes from "pg"
import { bounded } from "../../../core/internal/bounded.js"
import { DatabaseError } from "../contract.js"
import {
  type ConnectionError,
  connectionError,
  type DriverConnection,
  driverMessage,
  type QueryResult
} from "./connection.js"
import { type Driver, makeConnectionPool } from "./connectionPool.js"
import type { ClientInternals, Peers, Pg } from "./peers.js"
import { makeListen } from "./postgresListener.js"

export interface PostgresOptions {
  readonly url: string
  /** The server and database of the URL, without its password. */
  readonly label: string
  readonly maxConnections: number
  readonly connectTimeout: Duration.Duration
  readonly idleTransactionTimeout: Duration.Duration
}

interface ProtocolConnection extends NodeJS.EventEmitter {
  readonly stream: Duplex
  readonly connect: (portOrPath: number | string, host?: string) => void
  readonly requestSsl: () => void
  readonly cancel: (processID: number, secretKey: number) => void
}

/**
 * Asks the server to cancel the statement of this client, over a connection made for the purpose. The request needs no connection of
 * the pool and no connection slot of the server, both of which may be exhausted, and poolers such as PgBouncer forward it, which they
 * would not do with `pg_cancel_backend`.
 *
 * Completes when the server closes that connection, which it does after sending the signal. Best effort: never fails.
 */
const cancelStatement = (pg: Pg, client: ClientInternals): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    const { processID, secretKey } = client
    if (processID === null || secretKey === null) return resume(Effect.void)
    const connection = new pg.Connection(
      { ssl: client.ssl } as PgTypes.ConnectionConfig
    ) as unknown as ProtocolConnection
    const cancel = () => connection.cancel(processID, secretKey)
    connection.once(
      "connect",
      client.ssl && client.sslNegotiation !== "direct" ? () => connection.requestSsl() : cancel
    )
    connection.once("sslconnect", cancel)
    connection.on("error", () => resume(Effect.void))
    connection.once("end", () => resume(Effect.void))
    if (client.host.startsWith("/")) connection.connect(`${client.host}/.s.PGSQL.${client.port}`)
    else connection.connect(client.port, client.host)
    return Effect.sync(() => connection.stream.destroy())
  })

const toDriverConnection = (pg: Pg, client: PgTypes.PoolClient): DriverConnection => {
  const internals = client as unknown as ClientInternals
  return {
    send: (text, values, rowMode) =>
      client.query({
        text,
        values: [...values],
        ...(rowMode === "array" ? { rowMode } : {})
      } as PgTypes.QueryConfig) as Promise<unknown> as Promise<QueryResult>,
    // `pg` reports an error before the server says whether a transaction is open: any answer after it updates that state.
    afterError: "",
    cancel: Effect.suspend(() => cancelStatement(pg, internals)),
    destroy: () => void internals.connection.stream.destroy(),
    giveBack: (usable) =>
      Effect.sync(() => {
        const status = client.getTransactionStatus()
        // A connection with an open transaction is closed, not leased again.
        client.release(!usable || status === "T" || status === "E")
      })
  }
}

const makePool = (pg: Pg, options: PostgresOptions, max: number) => {
  const live = new Set<PgTypes.Client>()
  /** Keeps count of all connections: the pool does not know those that are still connecting, and the release must end them too. */
  class Client extends pg.Client {
    constructor(config?: PgTypes.ClientConfig) {
      super(config)
      live.add(this)
      // A lost connection emits an error, and its statement fails. Without a listener the error would end the process; the pool
      // listens only while the connection is idle.
      this.on("error", () => undefined)
      this.once("end", () => live.delete(this))
    }
  }
  const pool = new pg.Pool({
    Client,
    connectionString: options.url,
    max,
    connectionTimeoutMillis: Duration.toMillis(options.connectTimeout),
    application_name: "lastcall",
    keepAlive: true
  } as PgTypes.PoolConfig)
  // The pool drops an idle connection that is lost: there is nothing else to do.
  pool.on("error", () => undefined)

  const connections = makeConnectionPool(max, (restore) =>
    Effect.suspend(() => {
      const connecting = pool.connect()
      return restore(Effect.tryPromise({
        try: () => connecting,
        catch: (cause) =>
          connectionError(`No connection to PostgreSQL at ${options.label}: ${driverMessage(cause)}`, cause)
      })).pipe(
        // The waiter was interrupted: the connection returns to the pool when it arrives.
        Effect.onInterrupt(() =>
          Effect.sync(() => void connecting.then((client) => client.release(), () => undefined))
        ),
        Effect.map((client) => toDriverConnection(pg, client))
      )
    }))

  const end = Effect.suspend(() => {
    const ended = pool.end()
    return Effect.promise(() =>
      Promise.all([ended, ...[...live].map((client) => new Promise<void>((resolve) => client.once("end", resolve)))])
    )
  })

  const destroy = Effect.sync(() => {
    for (const client of live) (client as unknown as ClientInternals).connection.stream.destroy()
  })

  return {
    ...connections,
    /** Ends every connection by protocol, and destroys those that have not ended when the step is interrupted. */
    end: Effect.ensuring(end, destroy),
    /** Closes every socket at once. */
    destroy: Effect.zipRight(Effect.sync(() => void pool.end()), destroy)
  }
}

const unreachable = (label: string, why: string) =>
  new DatabaseError({ reason: "Unreachable", message: `Cannot use PostgreSQL at ${label}: ${why}` })

/** One message, and `LOCAL` to the transaction: a pooler may give the server connection to another client afterwards. */
const beginOf = (timeout: Duration.Duration): string => {
  const ms = Math.min(Math.ceil(Duration.toMillis(timeout)), 2 ** 31 - 1)
  return Duration.isFinite(timeout) && ms > 0 ? `BEGIN; SET LOCAL idle_in_transaction_session_timeout = ${ms}` : "BEGIN"
}

/** Opens a pool, a pool of one for the reserved client, and waits until the server has answered one statement. */
export const openPostgres = (peers: Peers, options: PostgresOptions): Effect.Effect<Driver, DatabaseError> =>
  Effect.suspend(() => {
    const pg = peers.pg.default
    const main = makePool(pg, options, options.maxConnections)
    const reserved = makePool(pg, options, 1)
    const closed = Deferred.unsafeMake<void>(FiberId.none)
    const both = (step: (pool: typeof main) => Effect.Effect<void>) =>
      Effect.all([step(main), step(reserved)], { concurrency: "unbounded", discard: true })

    const driver: Driver = {
      kind: "postgres",
      lease: main.lease,
      leaseReserved: reserved.lease,
      begin: beginOf(options.idleTransactionTimeout),
      listen: makeListen(pg, options, Deferred.await(closed)),
      attributes: { "db.namespace": options.label },
      quiesce: both((pool) => pool.close),
      drain: both((pool) => pool.awaitIdle),
      interrupt: both((pool) => pool.revoke),
      release: Effect.zipRight(Deferred.succeed(closed, void 0), both((pool) => pool.end)),
      progress: () => main.progress()
    }

    const firstAnswer = Effect.scoped(Effect.flatMap(main.lease, (connection) => connection.query("SELECT 1")))
    return bounded({ within: options.connectTimeout })(firstAnswer).pipe(
      // A bounded wait is uninterruptible; an interrupted start leaves it behind.
      Effect.disconnect,
      Effect.flatMap(Option.match({
        onNone: () =>
          Effect.fail(unreachable(options.label, `no answer within ${Duration.format(options.connectTimeout)}`)),
        onSome: (exit: Exit.Exit<QueryResult, ConnectionError>) =>
          Effect.mapError(exit, (error) => unreachable(options.label, driverMessage(error.cause)))
      })),
      Effect.interruptible,
      Effect.onError(() => both((pool) => pool.destroy)),
      Effect.as(driver)
    )
  })
