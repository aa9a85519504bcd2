import type { SqlError } from "@effect/sql"
import { Deferred, Duration, Effect, type Exit, FiberId, Option } from "effect"
import pg from "pg"
import { bounded } from "../../../core/internal/bounded.js"
import { DatabaseError } from "../contract.js"
import { cancelRequest, type Internals } from "./cancelRequest.js"
import { makeCheckouts } from "./checkouts.js"
import type { Driver } from "./driver.js"
import { listener } from "./listener.js"
import { type Answer, reasonOf, sqlError, type Wire } from "./session.js"

export interface PostgresOptions {
  readonly url: string
  readonly label: string
  readonly maxConnections: number
  readonly connectTimeout: Duration.Duration
  readonly idleTransactionTimeout: Duration.Duration
}

const wireOf = (client: pg.PoolClient): Wire => {
  const internals = client as unknown as Internals
  return {
    send: (text, values, rowMode) =>
      client.query({
        text,
        values: [...values],
        ...(rowMode === "array" ? { rowMode } : {})
      } as pg.QueryConfig) as Promise<unknown> as Promise<Answer>,
    // It tells of an error before the server has said that it is ready again, and whether a transaction is open.
    afterError: "",
    cancel: Effect.suspend(() => cancelRequest(internals)),
    destroy: () => void internals.connection.stream.destroy(),
    checkIn: (usable) =>
      Effect.sync(() => {
        const status = client.getTransactionStatus()
        // A transaction that somebody left open must not greet the next one.
        client.release(!usable || status === "T" || status === "E")
      })
  }
}

const makePool = (options: PostgresOptions, max: number) => {
  const live = new Set<pg.Client>()
  /** A pool does not tell of connections that are still being made, and those may need to be ended as well. */
  class Client extends pg.Client {
    constructor(config?: pg.ClientConfig) {
      super(config)
      live.add(this)
      // A connection that dies says so here, and whatever is in flight on it fails. Unheard, it ends the process; and the
      // pool does not listen any more when it hands one out, nor its holder yet.
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
  } as pg.PoolConfig)
  // An idle connection that dies is taken out of the pool, and that is all there is to do.
  pool.on("error", () => undefined)

  const checkouts = makeCheckouts(max, (restore) =>
    Effect.suspend(() => {
      const connecting = pool.connect()
      return restore(Effect.tryPromise({
        try: () => connecting,
        catch: (cause) => sqlError(`No connection to PostgreSQL at ${options.label}: ${reasonOf(cause)}`, cause)
      })).pipe(
        // Who waited has gone: the connection goes to the pool as soon as it is there.
        Effect.onInterrupt(() =>
          Effect.sync(() => void connecting.then((client) => client.release(), () => undefined))
        ),
        Effect.map(wireOf)
      )
    }))

  const end = Effect.suspend(() => {
    const ended = pool.end()
    return Effect.promise(() =>
      Promise.all([ended, ...[...live].map((client) => new Promise<void>((resolve) => client.once("end", resolve)))])
    )
  })

  const destroy = Effect.sync(() => {
    for (const client of live) (client as unknown as Internals).connection.stream.destroy()
  })

  return {
    ...checkouts,
    /** Says good-bye on every connection, and destroys those that have not ended when its time is up. */
    end: Effect.ensuring(end, destroy),
    /** Without a word. */
    destroy: Effect.zipRight(Effect.sync(() => void pool.end()), destroy)
  }
}

const unreachable = (label: string, why: string) =>
  new DatabaseError({ reason: "Unreachable", message: `Cannot use PostgreSQL at ${label}: ${why}` })

/** In one message, and for this transaction only: a pooler between may give the connection to others after it. */
const beginOf = (timeout: Duration.Duration): string => {
  const ms = Math.min(Math.ceil(Duration.toMillis(timeout)), 2 ** 31 - 1)
  return Duration.isFinite(timeout) && ms > 0 ? `BEGIN; SET LOCAL idle_in_transaction_session_timeout = ${ms}` : "BEGIN"
}

/**
 * A pool, a connection apart for what is reserved, and one for each listener. It answers when it is handed out: one
 * statement has been there and back.
 */
export const openPostgres = (options: PostgresOptions): Effect.Effect<Driver, DatabaseError> =>
  Effect.suspend(() => {
    const main = makePool(options, options.maxConnections)
    const apart = makePool(options, 1)
    const closed = Deferred.unsafeMake<void>(FiberId.none)
    const both = (step: (pool: typeof main) => Effect.Effect<void>) =>
      Effect.all([step(main), step(apart)], { concurrency: "unbounded", discard: true })

    const driver: Driver = {
      kind: "postgres",
      checkout: main.checkout,
      reserved: apart.checkout,
      begin: beginOf(options.idleTransactionTimeout),
      listen: listener(options, Deferred.await(closed)),
      attributes: { "db.namespace": options.label },
      quiesce: both((pool) => pool.close),
      drain: both((pool) => pool.idle),
      interrupt: both((pool) => pool.revoke),
      release: Effect.zipRight(Deferred.succeed(closed, void 0), both((pool) => pool.end)),
      progress: () => main.progress()
    }

    const answers = Effect.scoped(Effect.flatMap(main.checkout, (session) => session.query("SELECT 1")))
    return bounded({ within: options.connectTimeout })(answers).pipe(
      // A bounded wait is waited for, except where one walks away from it, as from a start that is interrupted.
      Effect.disconnect,
      Effect.flatMap(Option.match({
        onNone: () =>
          Effect.fail(unreachable(options.label, `no answer within ${Duration.format(options.connectTimeout)}`)),
        onSome: (exit: Exit.Exit<Answer, SqlError.SqlError>) =>
          Effect.mapError(exit, (error) => unreachable(options.label, reasonOf(error.cause)))
      })),
      Effect.interruptible,
      Effect.onError(() => both((pool) => pool.destroy)),
      Effect.as(driver)
    )
  })
