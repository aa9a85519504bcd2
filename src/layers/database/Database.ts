/**
 * `SqlClient`, by URL: PostgreSQL embedded in this process (PGlite), or a pool of connections to a server. Both speak
 * the same SQL and run the same code, and both are released in order: transactions that are open end, or are rolled
 * back, before the connections go.
 *
 * @since 0.1.0
 */
import type { Migrator, SqlClient, SqlError } from "@effect/sql"
import { Config, type ConfigError, Duration, Effect, Layer, type Option, Redacted } from "effect"
import type { Timeouts } from "../../core/Drain.js"
import { Database, DatabaseError, execute, type Row, type Service } from "./contract.js"
import type { Migrations } from "./internal/migrate.js"

export {
  /**
   * What a database can do beyond SQL statements: listen, notify, and a client that does not wait behind work.
   *
   * @since 0.1.0
   * @category tags
   */
  Database,
  /**
   * Why a database could not be opened. The message is for people, names the place and never a password.
   *
   * @since 0.1.0
   * @category errors
   */
  DatabaseError,
  /**
   * Runs a text of one or more statements and gives the rows of **all** of them, in order. Several statements only
   * without values. Joins the transaction around it.
   *
   * @since 0.1.0
   * @category execution
   */
  execute,
  /**
   * @since 0.1.0
   * @category models
   */
  type Migrations,
  /**
   * @since 0.1.0
   * @category models
   */
  type Row,
  /**
   * @since 0.1.0
   * @category models
   */
  type Service
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options extends Timeouts {
  /**
   * Where the database is.
   *
   * - `postgres://user:password@host:port/database`: a server;
   * - `pglite:./folder`, `pglite:///absolute/folder`: embedded, in that folder, which one process at a time can open;
   * - `pglite:memory`: embedded, gone with the process.
   */
  readonly url: Redacted.Redacted
  /** In reports and errors. `database` by default. */
  readonly name?: string | undefined
  /**
   * Connections to a server that may be open at a time, besides one for what is reserved and one for each listener.
   * 10 by default: a server allows 100 in all, and a handful keeps it busy. Who finds all of them taken waits in line.
   */
  readonly maxConnections?: number | undefined
  /**
   * How long a server may take to accept a connection and, at start, to answer the first statement. 5 seconds by
   * default: one that accepts and never answers must not hold up a start, or its interruption.
   */
  readonly connectTimeout?: Duration.DurationInput | undefined
  /**
   * How long a transaction may stand still, with no statement of it under way, until the server ends it, and its
   * connection. A minute by default: a process that is frozen, or whose machine is gone, would otherwise hold its locks,
   * and the jobs behind them, for as long as TCP believes in it: two hours. Zero and infinity leave it to the server.
   * The embedded database has no use for it.
   */
  readonly idleTransactionTimeout?: Duration.DurationInput | undefined
}

/**
 * Opens the database that the options name, and provides its `SqlClient`.
 *
 * **Acquired:** it answers. A server has answered one statement; a folder is locked for this process, and open. What
 * stands against that is a `DatabaseError` within `connectTimeout` (the embedded database takes some seconds when its
 * folder is new, and is not timed). Starting can be interrupted.
 *
 * **In use:** waiting for a connection is as interruptible as its caller. Interrupting a statement cancels it in the
 * server, also when every connection is taken; interrupting a transaction rolls it back. A transaction that Postgres
 * answers with a rollback when told to commit fails. After an outage the next statements use new connections.
 * In the embedded database a statement that runs cannot be interrupted, and holds up the process.
 *
 * **Released:** takes nothing new, waits for connections that are out and for those who wait for one (`drainTimeout`),
 * then takes them back: cancels what is running, rolls back what is open, and refuses what their holders still send
 * (`releaseTimeout`), then ends the connections, those that do not answer by force.
 *
 * **Promised:** no transaction that is open when the release begins to take connections back is committed after it.
 * **Not promised:** that a server which cannot be reached any more has noticed. It ends the transaction when it does.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<Database | SqlClient.SqlClient, DatabaseError> =>
  Layer.scopedContext(
    Effect.flatMap(Effect.promise(() => import("./internal/open.js")), ({ open }) =>
      open({
        ...options,
        name: options.name ?? "database",
        maxConnections: options.maxConnections ?? 10,
        connectTimeout: Duration.decode(options.connectTimeout ?? "5 seconds"),
        idleTransactionTimeout: Duration.decode(options.idleTransactionTimeout ?? "1 minute")
      }))
  )

/**
 * The same as `layer`, with options from the configuration.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: Config.Config.Wrap<Options>
): Layer.Layer<Database | SqlClient.SqlClient, DatabaseError | ConfigError.ConfigError> =>
  Layer.unwrapEffect(Effect.map(Config.unwrap(options), layer))

/**
 * The database that `DATABASE_URL` names, or else the embedded one in `./data`, so that a service starts without any
 * server on a laptop and with one in production, unchanged.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromEnv: Layer.Layer<Database | SqlClient.SqlClient, DatabaseError | ConfigError.ConfigError> =
  layerConfig({ url: Config.withDefault(Config.redacted("DATABASE_URL"), Redacted.make("pglite:./data")) })

/**
 * Runs those of the migrations that have not been run yet, in the order of their numbers (`0001_create_rows`), before
 * whatever depends on this layer starts. All of them in one transaction: they take effect together or not at all.
 *
 * **Promised:** each runs once, also when several processes start at a time; the others wait. A migration with a number
 * below the highest that has run is **not** run any more: number them as they are written.
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
    /** Keeps what has run. `lastcall_migrations` by default. */
    readonly table?: string | undefined
  }
): Layer.Layer<never, Migrator.MigrationError | SqlError.SqlError, SqlClient.SqlClient> =>
  Layer.effectDiscard(
    Effect.flatMap(Effect.promise(() => import("./internal/migrate.js")), ({ migrate }) =>
      migrate(migrations, options?.table ?? "lastcall_migrations"))
  )

/**
 * Runs the writes in one transaction, unless they were committed under this key before: then nothing is run, and the
 * result is none. So what may be asked twice is written once: a job over a source that shares no transaction with the
 * database (`JobSourceRedis` without `JobSourceOutbox`) is given its own id as the key, a request its `Idempotency-Key`.
 * Joins the transaction around it.
 *
 * **Promised:** of those who come with one key at the same time, one writes; the others wait for it, and write if it
 * failed. **Not promised:** anything about what is done beside the database, or after the key was forgotten.
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
    /** How long a key is known. 30 days by default: by then nobody asks again. */
    readonly keptFor?: Duration.DurationInput | undefined
  }
): Effect.Effect<Option.Option<A>, E | SqlError.SqlError, R | SqlClient.SqlClient> =>
  Effect.flatMap(
    Effect.promise(() => import("./internal/once.js")),
    ({ once }) => once(key, writes, options?.keptFor ?? "30 days")
  )
