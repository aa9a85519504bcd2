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
import { Config, ConfigError, type Duration, Effect, Either, Layer, type Option, Redacted } from "effect"
import { durationOption } from "../../core/internal/options.js"
import type { BudgetError } from "../../core/ShutdownConfig.js"
import { Database, DatabaseError, execute, type Row, type Service } from "./contract.js"
import { fromPgClient as overPgClient } from "./internal/fromPgClient.js"
import { once as runOnce } from "./internal/idempotent.js"
import { migrate, type Migrations } from "./internal/migrations.js"
import { open, parseUrl } from "./internal/open.js"
import { type ClientOptions, type Options, resolveOptions } from "./internal/options.js"

export { type ClientOptions, Database, DatabaseError, execute, type Migrations, type Options, type Row, type Service }

/**
 * Opens the database that the options name, and provides its `SqlClient`, which is a `PgClient` too. It takes the place of
 * `PgClient.layer`, with the same options.
 *
 * **Acquired:** when it answers: a server has answered one statement; a folder is locked for this process, and its database open.
 * Fails with `BudgetError` when the budget of `launch` can never hold a timeout, and with `DatabaseError`, with a server within
 * `connectTimeout`. Dies when an option is out of its range, or a package is missing. Creating an embedded database takes some seconds, on a
 * thread of its own, and is not bounded. Interruptible; an embedded database that exists is opened first, then closed.
 *
 * **In use:** waiting for a connection is as interruptible as its caller. Interrupting a statement cancels it in the server, also when
 * every connection is in use; interrupting a transaction rolls it back. A transaction whose commit the server answers with a rollback
 * fails. After an outage the next statements use new connections. A connection that the network has forgotten without a word is destroyed, and
 * its statement fails: see "Connections that fall silent" in the guide. PGlite runs a statement in this process's own thread: it cannot be
 * interrupted, and blocks the event loop. A fiber that keeps its one connection for more than 10 seconds while others wait for it is named
 * in a warning, with its spans.
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
  Layer.scopedContext(Effect.suspend(() => open(resolveOptions(options))))

/**
 * The same as `layer`, with options from the configuration. Fails with `ConfigError` too, before anything is opened, where a
 * value is missing or cannot be read. A URL is checked when the database is opened, as by `layer`: `urlConfig` checks it earlier.
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
 * A URL for `Options` from the configuration, checked without opening anything: a service that reads its settings first says what is
 * wrong in it before it listens. Fails with a `ConfigError` that does not repeat the URL, any part of which may be a password.
 *
 * **Not promised:** that there is a database, or that the files which the URL names (`sslrootcert`) can be read.
 *
 * @example
 * ```ts
 * import { Config, Effect, Layer } from "effect"
 * import { Database } from "lastcall"
 *
 * const Settings = Config.all({ database: Database.urlConfig("DATABASE_URL"), port: Config.port("PORT") })
 *
 * export const Live = Layer.unwrapEffect(Effect.map(Settings, ({ database }) => Database.layer({ url: database })))
 * ```
 *
 * @since 0.1.0
 * @category config
 */
export const urlConfig = (name: string): Config.Config<Redacted.Redacted> =>
  // Not over `Config.redacted`: an error behind two steps has lost the name.
  Config.mapOrFail(Config.string(name), (text) => {
    const url = Redacted.make(text)
    return Either.mapBoth(parseUrl(url), {
      onLeft: ({ message }) => ConfigError.InvalidData([], message),
      onRight: () => url
    })
  })

/**
 * The database that `DATABASE_URL` names, by default the embedded one in `./data`: a service starts without a server on a laptop, and
 * with one in production, unchanged. All other options are the defaults of `Options`; the errors and promises are those of `layer`.
 *
 * **Not promised:** that a deployment which sets no `DATABASE_URL` fails. It starts with an empty database in its folder: the log names it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromEnv: Layer.Layer<
  Database | PgClient.PgClient | SqlClient.SqlClient,
  DatabaseError | BudgetError | ConfigError.ConfigError
> = layerConfig({ url: Config.withDefault(Config.redacted("DATABASE_URL"), Redacted.make("pglite:./data")) })

/**
 * The `Database` over an app's own `PgClient.layer` or `PgClient.layerFromPool`: `once`, `migrations` and `JobSourceSql` run
 * on its connections and share its transactions. Listening takes a connection of its own for each listener, which is opened as the
 * `config` of that client says.
 *
 * **Acquired:** at once; it opens nothing and never fails. **Released:** ends its listeners. The app's client stays as it is.
 *
 * **Promised:** the statements and transactions of `reserved` are apart from those of the app's client, on connections of the same pool.
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
 * one starts. All of them in one transaction: they take effect together or not at all. On any client of PostgreSQL or PGlite.
 *
 * Fails with `MigrationError` where a migration fails (its error is the `cause`), where two have one number, where a name is not like
 * `0001_create_rows`, and where the table has recorded a number under another name, that of another program or of before; with `SqlError` where the database fails.
 *
 * **Promised:** each runs once, also when several processes start at a time; the others wait, without a bound, because a migration may
 * take any time. A start that waits for them says so.
 * **Not promised:** that a migration whose number is below the highest one that has run is run at all: number them as they are written.
 * That a statement which cannot run in a transaction (`CREATE INDEX CONCURRENTLY`) runs.
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
    /**
     * The table that records which migrations have run, created where it is missing. `lastcall_migrations` by default, which is not that of
     * the migrator of `@effect/sql` (`effect_sql_migrations`): name that one to go on with what it has run.
     */
    readonly table?: string | undefined
  }
): Layer.Layer<never, Migrator.MigrationError | SqlError.SqlError, SqlClient.SqlClient> =>
  Layer.effectDiscard(migrate(migrations, options?.table ?? "lastcall_migrations"))

/**
 * Runs the writes in one transaction, unless they were committed under this key before; then it runs nothing and returns none. A
 * request that may be repeated is so written once, by its `Idempotency-Key`, and so is a job whose source shares no transaction with the
 * database (`JobSourceRedis`), by its id. Joins the transaction around it: the key is then remembered when that commits.
 *
 * The keys are in the table `lastcall_once` of the schema that the client finds first, which the first call creates. Each call deletes up to ten keys
 * that have expired. One key means one thing in the whole database: begin it with what it is for.
 *
 * Fails as the writes fail, and then remembers nothing; with `SqlError` where the database fails. Dies when `keptFor` is not positive.
 *
 * **Promised:** of concurrent callers with one key, one writes; the others wait for its commit, and one of them writes if it fails.
 * **Not promised:** anything about effects outside the database, or after the key has expired; what the first call returned, which
 * is not kept; a bound of the wait, which lasts as long as the transaction of the first caller.
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
