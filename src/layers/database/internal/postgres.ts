/**
 * A PostgreSQL server: two pools of connections, and one connection for each listener. `PgClient` has one pool, in which renewals of leases would
 * wait behind jobs; a server that never answers holds up its start for ever, and its release leaves transactions open (sql-pg-connect and
 * sql-pg-release in docs/upstream). `pg.Pool` opens the connections and keeps them.
 */
import type { SqlError } from "@effect/sql"
import { Deferred, Duration, Effect, Exit, FiberId, Option } from "effect"
import type * as PgTypes from "pg"
import { bounded } from "../../../core/internal/bounded.js"
import { brief, DatabaseError } from "../contract.js"
import { clientConfigOf, type ServerOptions, timerMillis } from "./clientConfig.js"
import { type Driver, makeConnectionPool } from "./connectionPool.js"
import { type DriverConnection, planCacheMode, type QueryResult } from "./driverConnection.js"
import { driverMessage, type Errors, makeErrors } from "./errors.js"
import { loadPostgresThread } from "./loadPostgresThread.js"
import type { ClientInternals, Peers, Pg } from "./peers.js"
import { pipelinedQuery } from "./pipelined.js"
import { toDriverConnection } from "./postgresConnection.js"
import { makeListening } from "./postgresListener.js"
import { watchSilence, whichServer } from "./silence.js"

export interface PostgresOptions extends ServerOptions {
  /** The server and the database, without the password. */
  readonly label: string
  readonly maxConnections: number
  readonly minConnections: number
  /** Infinite if a connection is kept while it is idle. */
  readonly idleTimeout: Duration.Duration
  /** Infinite if a connection is kept as long as it works. */
  readonly connectionTTL: Duration.Duration
  readonly idleTransactionTimeout: Duration.Duration
  readonly preparedStatements: boolean | undefined
}

/** Settings of the session: not for a pooler, which would pass them on with the connection. */
const settings = [
  `SET plan_cache_mode = ${planCacheMode}`,
  // Lets the server notice within half a minute that this machine is gone, and end what it does for it. Not on every platform.
  "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4; SET tcp_user_timeout = 30000"
]

/** What is answered to `whichServer`. */
const serverOf = ([row]: ReadonlyArray<unknown>) => (row as { readonly server: string } | undefined)?.server

/** For the pool, 0 means without end. */
const timerOrNone = (duration: Duration.Duration) => Duration.isFinite(duration) ? timerMillis(duration) : 0

const makePool = (pg: Pg, errors: Errors, options: PostgresOptions, max: number) => {
  const PipelinedQuery = pipelinedQuery(pg)
  const live = new Set<PgTypes.Client & { server: string | undefined }>()
  let prepares = false
  let isDirect = false
  /** Keeps count of all connections: the pool does not know those that are still connecting, and the release must end them too. */
  class Client extends pg.Client {
    /** See `whichServer`. */
    server: string | undefined
    readonly driver = toDriverConnection(
      pg,
      this as unknown as PgTypes.PoolClient,
      errors,
      PipelinedQuery,
      { prepares: () => prepares, isDirect: () => isDirect, server: () => this.server }
    )
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
    ...clientConfigOf(options),
    Client,
    max,
    min: Math.min(options.minConnections, max),
    idleTimeoutMillis: timerOrNone(options.idleTimeout),
    // Runs on a new connection. Platforms without such a setting go on without it.
    verify: (client: PgTypes.PoolClient, done: (error?: Error) => void) => {
      const query_timeout = timerMillis(options.connectTimeout)
      const run = (text: string, then: (rows: ReadonlyArray<unknown>) => void) =>
        client.query({ text, query_timeout } as PgTypes.QueryConfig, (_, result) => then(result?.rows ?? []))
      const apply = ([text, ...others]: ReadonlyArray<string>): void =>
        text === undefined ? identify() : run(text, () => apply(others))
      const identify = () =>
        run(whichServer, (rows) => {
          ;(client as unknown as Client).server = serverOf(rows)
          done()
        })
      if (isDirect) apply(settings)
      else done()
    },
    maxLifetimeSeconds: timerOrNone(options.connectionTTL) / 1000
  } as PgTypes.PoolConfig)
  // The pool drops an idle connection that is lost: there is nothing else to do.
  pool.on("error", () => undefined)

  const suspects = new WeakSet<object>()
  const connect = (done: (exit: Exit.Exit<DriverConnection, SqlError.SqlError>) => void): void =>
    pool.connect((cause, client) => {
      if (client === undefined) {
        const message = `No connection to PostgreSQL at ${options.label}: ${driverMessage(cause)}`
        return done(Exit.fail(errors.make(message, cause)))
      }
      if (!suspects.has(client)) return done(Exit.succeed((client as unknown as Client).driver)) // Its server would not answer to a polite end.
      ;(client as unknown as ClientInternals).connection.stream.destroy()
      client.release(true)
      connect(done)
    })
  const connections = makeConnectionPool(max, errors, connect)

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
    /** Whether one of the connections is to the server process with this pid. */
    isConnectedTo: (pid: number) =>
      [...live].some((client) => (client as unknown as ClientInternals).processID === pid),
    /** From now on, new connections are set up, and statements whose text repeats are prepared. */
    configure: (server: { readonly isDirect: boolean; readonly prepares: boolean }) => {
      isDirect = server.isDirect
      prepares = server.prepares
    },
    /** The server of the connections of now, as it answers to `whichServer`. */
    identify: (answer: QueryResult) => {
      for (const client of live) client.server = serverOf((answer as { readonly rows: ReadonlyArray<unknown> }).rows)
    },
    /** The connections of now are not leased again: they took the same way as one that was found silent. */
    suspect: () => live.forEach((client) => suspects.add(client)),
    /** Ends every connection by protocol, and destroys those that have not ended when the step is interrupted. */
    end: Effect.ensuring(end, destroy),
    /** Closes every socket at once. */
    destroy: Effect.zipRight(Effect.sync(() => void pool.end()), destroy)
  }
}

const unreachable = (label: string, why: string) =>
  new DatabaseError({ reason: "Unreachable", message: `Cannot use PostgreSQL at ${label}: ${why}` })

/** `LOCAL` to the transaction: a pooler may give the server connection to another client afterwards. */
const beginOf = (timeout: Duration.Duration): ReadonlyArray<string> => {
  const ms = Math.ceil(timerMillis(timeout))
  return [
    "BEGIN",
    ...Duration.isFinite(timeout) && ms > 0 ? [`SET LOCAL idle_in_transaction_session_timeout = ${ms}`] : []
  ]
}

/** Opens a pool, a pool of one for the reserved client, and waits until the server has answered one statement. */
export const openPostgres = (peers: Peers, options: PostgresOptions): Effect.Effect<Driver, DatabaseError> =>
  Effect.suspend(() => {
    const pg = peers.pg.default
    const errors = makeErrors(peers["@effect/sql"])
    const main = makePool(pg, errors, options, options.maxConnections)
    const reserved = makePool(pg, errors, options, 1)
    const closed = Deferred.unsafeMake<void>(FiberId.none)
    const both = (step: (pool: typeof main) => Effect.Effect<void>) =>
      Effect.all([step(main), step(reserved)], { concurrency: "unbounded", discard: true })

    const driver: Driver = {
      kind: "postgres",
      pool: main,
      reserved,
      begin: beginOf(options.idleTransactionTimeout),
      ...makeListening({
        pg,
        server: options,
        errors,
        notify: (channel, payload) =>
          Effect.asVoid(main.query(brief("SELECT pg_notify($1, $2)"), [channel, payload], "object")),
        closed: Deferred.await(closed)
      }),
      thread: loadPostgresThread(pg, options),
      watch: watchSilence({
        main,
        reserved,
        onFound: () => {
          main.suspect()
          reserved.suspect()
        }
      }),
      quiesce: both((pool) => pool.close),
      drain: both((pool) => pool.awaitIdle),
      interrupt: both((pool) => pool.revoke),
      release: Effect.zipRight(Deferred.succeed(closed, void 0), both((pool) => pool.end)),
      progress: () => main.progress()
    }

    /** A pooler between here and the server gives its clients pids of its own, and may run each statement on another connection. */
    const firstAnswer = Effect.flatMap(main.query("SELECT pg_backend_pid()", [], "array"), (result) => {
      const [[pid]] = (result as { readonly rows: readonly [readonly [number]] }).rows
      const isDirect = main.isConnectedTo(pid)
      const server = { isDirect, prepares: options.preparedStatements ?? isDirect }
      main.configure(server)
      reserved.configure(server)
      if (!isDirect) return Effect.void
      // The first connection was set up before that was known.
      return Effect.forEach(settings, (text) => Effect.ignore(main.query(text, [], "object")), { discard: true }).pipe(
        Effect.zipRight(Effect.ignore(Effect.map(main.query(whichServer, [], "object"), main.identify)))
      )
    })
    return bounded({ within: options.connectTimeout })(firstAnswer).pipe(
      // A bounded wait is uninterruptible; an interrupted start leaves it behind.
      Effect.disconnect,
      Effect.flatMap(Option.match({
        onNone: () =>
          Effect.fail(unreachable(options.label, `no answer within ${Duration.format(options.connectTimeout)}`)),
        onSome: (exit: Exit.Exit<void, SqlError.SqlError>) =>
          Effect.mapError(exit, (error) => unreachable(options.label, driverMessage(error.cause)))
      })),
      Effect.interruptible,
      Effect.onError(() => both((pool) => pool.destroy)),
      Effect.as(driver)
    )
  })
