/**
 * The options of `Database.layer`, and what they are by default: those of `PgClientConfig`, whose types are used, and more. `PgClient` passes on
 * whatever it gets, also a negative time or no connections; here a value out of its range is a defect that names the option.
 */
import type { PgClient } from "@effect/sql-pg"
import { Duration, type Redacted } from "effect"
import type { Timeouts } from "../../../core/Drain.js"
import { countOption, durationOption } from "../../../core/internal/options.js"
import type { OpenOptions } from "./open.js"

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
  /**
   * How many connections stay open when they are idle. None by default: an idle connection takes some megabytes of the server, and to open
   * one takes milliseconds. At most `maxConnections`. Not used by PGlite.
   */
  readonly minConnections?: number | undefined
  /**
   * How long a connection may be idle before it is closed. 10 seconds by default, as in `pg`: what a peak has opened goes back to the server
   * soon after it. Without end if infinite. Not used by PGlite.
   */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /**
   * How long a connection is used before it is replaced, once it is idle. Without end by default, because opening one costs time and a server
   * behind one name seldom changes. Less than an hour moves the connections to a new server behind the same name. Not used by PGlite.
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
   * The most connections to a server that are open at a time, besides one for the reserved client, one for each listener, and one
   * for a `JobSourceSql` with `renewWhileBlocked`. 10 by default: a server allows 100 in all, and ten keep it busy. Callers beyond that wait
   * in a queue. PGlite has one connection.
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
   * How long a statement, or one fetch of a stream, may take before it is cancelled and fails; its connection is closed if the server does
   * not answer even then. Without end by default: what is too long depends on the statement. But a statement that the server does not work
   * on any more loses its connection after half a minute in any case, unless a pooler is in front of the server. Not for the statements that
   * begin and end transactions, which have half a minute. PGlite cannot cancel a statement, so it is not used there.
   */
  readonly statementTimeout?: Duration.DurationInput | undefined
  /**
   * Whether a connection keeps the statements that it repeats prepared in the server, the last hundred: those with values, outside of
   * transactions; without a pooler those of lastcall in transactions too. Such a statement takes about a quarter less time. A statement that the server will not run any more, because its columns
   * have changed, is sent again unprepared. By default prepared unless there is a pooler such as PgBouncer in front of the server,
   * which may run each statement on another connection; the first answer shows whether there is. Not used by PGlite.
   */
  readonly preparedStatements?: boolean | undefined
}

/** Dies when an option is out of its range. */
export const resolveOptions = (options: Options): OpenOptions => {
  const {
    connectTimeout = "5 seconds",
    connectionTTL = Duration.infinity,
    idleTimeout = "10 seconds",
    idleTransactionTimeout = "1 minute",
    maxConnections = 10,
    minConnections = 0,
    name = "database",
    statementTimeout = Duration.infinity
  } = options
  return {
    ...options,
    url: options.url,
    preparedStatements: options.preparedStatements,
    name,
    statementTimeout: durationOption(name, "statementTimeout", statementTimeout, { positive: true, unlimited: true }),
    minConnections: countOption(name, "minConnections", minConnections, { least: 0 }),
    idleTimeout: durationOption(name, "idleTimeout", idleTimeout, { positive: true, unlimited: true }),
    connectionTTL: durationOption(name, "connectionTTL", connectionTTL, { positive: true, unlimited: true }),
    maxConnections: countOption(name, "maxConnections", maxConnections, { least: 1 }),
    connectTimeout: durationOption(name, "connectTimeout", connectTimeout, { positive: true }),
    idleTransactionTimeout: durationOption(name, "idleTransactionTimeout", idleTransactionTimeout, { unlimited: true })
  }
}
