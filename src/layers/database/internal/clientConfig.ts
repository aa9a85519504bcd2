/**
 * The configuration of a connection of `pg`. `PgClient` makes the same inside of its `make`, and exports neither that nor what `pg` takes
 * from a URL and the environment. `keepAlive` is ours: `pg` leaves it off, and then a connection to a machine that is gone stays open.
 */
import type { PgClient } from "@effect/sql-pg"
import { Duration, Redacted } from "effect"
import type * as PgTypes from "pg"
import type { Pg } from "./peers.js"

/** Where a server is and how to connect to it: the options of `PgClient.layer`. */
export interface ServerOptions extends
  Pick<
    PgClient.PgClientConfig,
    "host" | "port" | "path" | "ssl" | "database" | "username" | "password" | "stream" | "types" | "applicationName"
  >
{
  readonly url: string | undefined
  readonly connectTimeout: Duration.Duration
}

/** Milliseconds for a timer of Node, which takes 25 days for one millisecond. */
export const timerMillis = (duration: Duration.Duration): number => Math.min(Duration.toMillis(duration), 2 ** 31 - 1)

/** The configuration of a connection, as `PgClient` makes it. What the URL says goes before the other options. */
export const clientConfigOf = (options: ServerOptions): PgTypes.ClientConfig =>
  ({
    connectionString: options.url,
    host: options.host ?? options.path,
    port: options.port,
    database: options.database,
    user: options.username,
    password: options.password === undefined ? undefined : Redacted.value(options.password),
    ssl: options.ssl,
    ...(options.stream && { stream: options.stream }),
    types: options.types,
    connectionTimeoutMillis: timerMillis(options.connectTimeout),
    application_name: options.applicationName ?? "lastcall",
    keepAlive: true,
    // Node then probes every second, ten times: an idle connection to a machine that is gone ends after 20 seconds, not two hours.
    keepAliveInitialDelayMillis: 10_000
  }) as PgTypes.ClientConfig

/** What a connection will use, as `pg` resolves the options and its environment. Throws when the URL is not valid. */
export const resolvedConfig = (pg: Pg, options: ServerOptions): PgClient.PgClientConfig => {
  // A client does not connect before it is asked to.
  const { database, host, password, port, user } = new pg.Client(clientConfigOf(options))
  return {
    url: options.url === undefined ? undefined : Redacted.make(options.url),
    host,
    port,
    username: user,
    password: typeof password === "string" ? Redacted.make(password) : undefined,
    database: database ?? user,
    ssl: options.ssl,
    applicationName: options.applicationName,
    types: options.types
  }
}
