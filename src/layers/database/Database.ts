/**
 * `SqlClient`, by URL: PostgreSQL embedded in this process (PGlite), or a pool of connections to a server. Both speak the same SQL and
 * run the same code, and both are released in order: open transactions end, or are rolled back, before the connections close.
 *
 * **Packages.** `@effect/sql`, `@effect/sql-pg`, `@effect/experimental` and `pg`; `@electric-sql/pglite` for `pglite:` URLs. They are
 * optional peers, loaded when a database is opened. Missing ones are one defect that names them all and the command that installs them.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Effect, Layer } from "effect"
 * import { Database, launch } from "lastcall"
 *
 * const Tables = Database.migrations({
 *   "0001_create_orders": Effect.flatMap(SqlClient.SqlClient, (sql) => sql`CREATE TABLE orders (total integer)`)
 * })
 *
 * const main = Tables.pipe(Layer.provide(Database.layerFromEnv), launch())
 * ```
 *
 * @module
 * @since 0.1.0
 */
import type { Migrator, SqlClient, SqlError } from "@effect/sql"
import type { PgClient } from "@effect/sql-pg"
import { Config, type ConfigError, Duration, Effect, Layer, type Option, Redacted } from "effect"
import type { Timeouts } from "../../core/Drain.js"
import { countOption, durationOption } from "../../core/internal/options.js"
import type { BudgetError } from "../../core/ShutdownConfig.js"
import { Database, DatabaseError, execute, type Row, type Service } from "./contract.js"
import { fromPgClient as overPgClient } from "./internal/fromPgClient.js"
import { once as runOnce } from "./internal/idempotent.js"
import { migrate, type Migrations } from "./internal/migrations.js"
import { open } from "./internal/open.js"

export { Database, DatabaseError, execute, type Migrations, type Row, type Service }

/**
 * The options of `PgClient.layer`, with its meaning: where a server is (`host`, `port`, `path`, `database`, `username`, `password`,
 * `ssl`, `stream`), how names, JSON and types are converted, `applicationName` (`lastcall` by default) and `spanAttributes`. What `url`
 * says goes before the others; without both, the environment of `pg` (`PGHOST` and the like) names the server. PGlite uses
 * the conversions and `spanAttributes`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClientOptions extends Omit<PgClient.PgClientConfig, "url" | "maxConnections" | "connectTimeout"> {
  /** How many connections stay open when they are idle. None by default. Not used by PGlite. */
  readonly minConnections?: number | undefined
  /** How long a connection may be idle before it is closed. 10 seconds by default; without end if infinite. Not used by PGlite. */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /**
   * How long a connection is used before it is replaced, once it is idle. Without end by default. Less than an hour moves the
   * connections to a new server behind the same name. Not used by PGlite.
   */
  readonly connectionTTL?: Duration.DurationInput | undefined
}

/**
 * How a database is found and used. `drainTimeout` bounds the wait for leased connections, `releaseTimeout` taking them back and
 * closing them; by default each has what the shutdown's budget has.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Timeouts, ClientOptions {
  /**
   * Where the database is, unless `host` and the others say so:
   *
   * - `postgres://user:password@host:port/database`: a server;
   * - `pglite:./folder`, `pglite:///absolute/folder`: embedded, in that folder, which one process at a time can open. The lock of a
   *   process that was killed is taken over: at once where its pid can be checked, and from another container when it has not been
   *   renewed for 15 seconds on this machine, or a minute on another one;
   * - `pglite:memory`: embedded, gone with the process.
   */
  readonly url?: Redacted.Redacted | undefined
  /** The name in reports, logs and errors. `database` by default. */
  readonly name?: string | undefined
  /**
   * The most connections to a server that are open at a time, besides one for the reserved client and one for each listener. 10 by
   * default: a server allows 100 in all, and ten keep it busy. Callers beyond that wait in a queue. PGlite has one connection.
   */
  readonly maxConnections?: number | undefined
  /**
   * How long a server may take to accept a connection and, at start, to answer the first statement. 5 seconds by default: a server
   * that accepts and never answers must not hold up a start, or its interruption.
   */
  readonly connectTimeout?: Duration.DurationInput | undefined
  /**
   * How long a transaction may be idle, with no statement in flight, before the server ends it and its connection. A minute by
   * default: the locks of a process that is frozen, or whose machine is gone, would otherwise last until TCP gives up, after two hours.
   * Zero and infinity leave it to the server's configuration. Not used by PGlite.
   */
  readonly idleTransactionTimeout?: Duration.DurationInput | undefined
  /**
   * How long a statement may take before it is cancelled and fails; its connection is closed if the server does not answer even then.
   * Without end by default: what is too long depends on the statement. Not for streams, and not for the statements that begin and end
   * transactions, which have half a minute. PGlite cannot cancel a statement, so it is not used there.
   */
  readonly statementTimeout?: Duration.DurationInput | undefined
  /**
   * Whether a connection keeps the statements that it repeats prepared in the server, the last hundred: those with values, outside of
   * transactions. Such a statement takes about a quarter less time. A statement that the server will not run any more, because its columns
   * have changed, is sent again unprepared. By default prepared unless there is a pooler such as PgBouncer in front of the server,
   * which may run each statement on another connection; the first answer shows whether there is. Not used by PGlite.
   */
  readonly preparedStatements?: boolean | undefined
}

/**
 * Opens the database that the options name, and provides its `SqlClient`, which is a `PgClient` too. It takes the place of
 * `PgClient.layer`, with the same options.
 *
 * **Acquired:** when it answers: a server has answered one statement; a folder is locked for this process, and its database open.
 * Fails with `BudgetError` when the budget of `launch` can never hold a timeout, and with `DatabaseError`, with a server within `connectTimeout`. Creating an embedded database takes some seconds, on a
 * thread of its own, and is not bounded. Interruptible; an embedded database that exists is opened first, then closed.
 *
 * **In use:** waiting for a connection is as interruptible as its caller. Interrupting a statement cancels it in the server, also when
 * every connection is in use; interrupting a transaction rolls it back. A transaction whose commit the server answers with a rollback
 * fails. After an outage the next statements use new connections. PGlite runs a statement in this process's own thread: it cannot be
 * interrupted, and blocks the event loop.
 *
 * A stream fetches rows as they are read. On a server, outside of a transaction, it holds a connection and is a transaction of its own:
 * committed at its end, rolled back if its consumer fails or is interrupted. On PGlite it holds no connection; what locks or changes
 * rows is run at once, and its rows are kept in memory.
 *
 * **Released:** refuses new work, and waits for leased connections and for the callers in the queue (`drainTimeout`). Then it revokes the
 * leases: cancels statements, rolls transactions back, and refuses what their holders still send. Then it ends the connections, by
 * force if they do not answer (`releaseTimeout`).
 *
 * **Promised:** a transaction that is open when leases are revoked is never committed.
 * **Not promised:** that a server which cannot be reached has noticed; it rolls back when it does.
 * That an embedded database survives a process that is frozen until its lock is taken over, and then goes on: it is killed, but may
 * have written for a moment.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options
): Layer.Layer<Database | PgClient.PgClient | SqlClient.SqlClient, DatabaseError | BudgetError> =>
  Layer.scopedContext(Effect.suspend(() => {
    const {
      connectTimeout = "5 seconds",
      connectionTTL = Duration.infinity,
      idleTimeout = "10 seconds",
      idleTransactionTimeout = "1 minute",
      maxConnections = 10,
      minConnections = 0,
      name = "database"
    } = options
    return open({
      ...options,
      url: options.url,
      statementTimeout: durationOption(name, "statementTimeout", options.statementTimeout ?? Duration.infinity, {
        positive: true,
        unlimited: true
      }),
      preparedStatements: options.preparedStatements,
      name,
      minConnections: countOption(name, "minConnections", minConnections, { least: 0 }),
      idleTimeout: durationOption(name, "idleTimeout", idleTimeout, { positive: true, unlimited: true }),
      connectionTTL: durationOption(name, "connectionTTL", connectionTTL, { positive: true, unlimited: true }),
      maxConnections: countOption(name, "maxConnections", maxConnections, { least: 1 }),
      connectTimeout: durationOption(name, "connectTimeout", connectTimeout, { positive: true }),
      idleTransactionTimeout: durationOption(name, "idleTransactionTimeout", idleTransactionTimeout, {
        unlimited: true
      })
    })
  }))

/**
 * The same as `layer`, with options from the configuration.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: Config.Config.Wrap<Options>
): Layer.Layer<
  Database | PgClient.PgClient | SqlClient.SqlClient,
  DatabaseError | BudgetError | ConfigError.ConfigError
> => Layer.unwrapEffect(Effect.map(Config.unwrap(options), layer))

/**
 * The database that `DATABASE_URL` names, by default the embedded one in `./data`: a service starts without a server on a laptop, and
 * with one in production, unchanged.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromEnv: Layer.Layer<
  Database | PgClient.PgClient | SqlClient.SqlClient,
  DatabaseError | BudgetError | ConfigError.ConfigError
> = layerConfig({ url: Config.withDefault(Config.redacted("DATABASE_URL"), Redacted.make("pglite:./data")) })

/**
 * The `Database` over an app's own `PgClient.layer` or `PgClient.layerFromPool`: `once`, `migrations`, `JobSourceSql` and the outbox run
 * on its connections and share its transactions. Listening takes a connection of its own for each listener.
 *
 * **Not promised**, where `Database.layer` promises it: that leases are renewed while every connection of the pool is in use (there is
 * no reserved connection: give the pool more connections than jobs run at a time); that an abandoned job, or a release, rolls back the
 * transactions that are still open; that a release waits for them; that a statement or a commit without an answer is bounded. Settling
 * a job inside a transaction of `PgClient` is reported at once, not after the commit.
 *
 * @since 0.1.0
 * @category layers
 */
export const fromPgClient: Layer.Layer<Database, never, PgClient.PgClient> = Layer.scopedContext(overPgClient)

/**
 * Runs the migrations that have not been run yet, in the order of their numbers (`0001_create_rows`), before any layer that depends on this
 * one starts. All of them in one transaction: they take effect together or not at all. A failed one fails the layer.
 *
 * **Promised:** each runs once, also when several processes start at a time; the others wait.
 * **Not promised:** that a migration whose number is below the highest one that has run is run at all: number them as they are written.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Effect, Layer } from "effect"
 * import { Database } from "lastcall"
 *
 * const Migrations = Database.migrations({
 *   "0001_create_rows": Effect.flatMap(SqlClient.SqlClient, (sql) => sql`CREATE TABLE rows (number integer)`)
 * })
 *
 * export const Live = Migrations.pipe(Layer.provideMerge(Database.layerFromEnv))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const migrations = (
  migrations: Migrations,
  options?: {
    /** The table that records which migrations have run. `lastcall_migrations` by default. */
    readonly table?: string | undefined
  }
): Layer.Layer<never, Migrator.MigrationError | SqlError.SqlError, SqlClient.SqlClient> =>
  Layer.effectDiscard(migrate(migrations, options?.table ?? "lastcall_migrations"))

/**
 * Runs the writes in one transaction, unless they were committed under this key before; then it runs nothing and returns none. A
 * request that may be repeated is so written once, by its `Idempotency-Key`, and so is a job whose source shares no transaction with the
 * database (`JobSourceRedis` without `JobSourceOutbox`), by its id. Joins the transaction around it.
 *
 * **Promised:** of concurrent callers with one key, one writes; the others wait for its commit, and one of them writes if it fails.
 * **Not promised:** anything about effects outside the database, or after the key has expired.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Effect } from "effect"
 * import { Database, WorkerPool } from "lastcall"
 *
 * class Orders extends WorkerPool.Tag("orders")<Orders, { readonly total: number }>() {}
 *
 * const Workers = Orders.layer({
 *   concurrency: 4,
 *   process: ({ total }, job) =>
 *     Effect.flatMap(SqlClient.SqlClient, (sql) =>
 *       job.complete(Database.once(job.id, sql`INSERT INTO orders (total) VALUES (${total})`)))
 * })
 * ```
 *
 * @since 0.1.0
 * @category execution
 */
export const once = <A, E, R>(
  key: string,
  writes: Effect.Effect<A, E, R>,
  options?: {
    /** How long a key is remembered. 30 days by default, longer than any client or queue repeats a request. */
    readonly keptFor?: Duration.DurationInput | undefined
  }
): Effect.Effect<Option.Option<A>, E | SqlError.SqlError, R | SqlClient.SqlClient> =>
  Effect.suspend(() =>
    runOnce(key, writes, durationOption("Database.once", "keptFor", options?.keptFor ?? "30 days", { positive: true }))
  )
