/** Opens the database that a URL names, and makes its clients. */
import type { SqlClient } from "@effect/sql"
import { Context, type Duration, Effect, Predicate, Redacted, type Scope } from "effect"
import * as Drain from "../../../core/Drain.js"
import { misencoded } from "../../../core/internal/urlCredentials.js"
import type { BudgetError } from "../../../core/ShutdownConfig.js"
import { Database, DatabaseError, SqlClientTag } from "../contract.js"
import type { Driver } from "./connectionPool.js"
import { type Peers, type Pg, pglitePeers, postgresPeers } from "./peers.js"
import { openPglite } from "./pglite.js"
import { openPostgres } from "./postgres.js"
import { makeSqlClient, ownTransaction, sharedTransaction } from "./sqlClient.js"

export interface OpenOptions extends Drain.Timeouts {
  readonly name: string
  readonly url: Redacted.Redacted
  readonly maxConnections: number
  readonly connectTimeout: Duration.Duration
  readonly idleTransactionTimeout: Duration.Duration
  readonly preparedStatements: boolean | undefined
}

/** The parts of a URL. Error messages never repeat the URL: any part of a malformed one may be a password. */
type Target =
  | { readonly _tag: "Pglite"; readonly folder: string | undefined }
  | { readonly _tag: "Postgres"; readonly url: string }

const invalidUrl = (message: string) => new DatabaseError({ reason: "InvalidUrl", message })

const expected = "expected postgres://user:password@host:port/database, pglite:./folder or pglite:memory"

const parseUrl = (redacted: Redacted.Redacted): Effect.Effect<Target, DatabaseError> => {
  const url = Redacted.value(redacted).trim()
  if (url === "") return invalidUrl(`The database URL is empty: ${expected}.`)
  if (/^postgres(ql)?:\/\//i.test(url)) {
    const wrong = misencoded(url)
    return wrong === undefined
      ? Effect.succeed({ _tag: "Postgres", url })
      : invalidUrl(`The database URL ${wrong}: ${expected}.`)
  }
  const pglite = /^pglite:(?:\/\/)?(.*)$/i.exec(url)
  if (pglite === null) {
    const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)
    return invalidUrl(
      scheme === null
        ? `The database URL has no scheme: ${expected}.`
        : `The database URL has an unknown scheme, ${scheme[1]}://: ${expected}.`
    )
  }
  const folder = pglite[1]?.trim() ?? ""
  if (folder === "") return invalidUrl(`The database URL names no folder: ${expected}.`)
  return Effect.succeed({ _tag: "Pglite", folder: folder === "memory" ? undefined : folder })
}

/** The server and the database of a URL, without the password. */
const labelOf = (pg: Pg, url: string): Effect.Effect<string, DatabaseError> =>
  Effect.try({
    try: () => {
      // Parses as the pool does. A client does not connect before it is asked to.
      const { database, host, port, user } = new pg.Client({ connectionString: url })
      return `${host}:${port}, database "${database ?? user}"`
    },
    // The message of the parser may repeat the password.
    catch: (error) =>
      invalidUrl(
        Predicate.hasProperty(error, "syscall") && Predicate.hasProperty(error, "code")
          ? `A file that the database URL names (sslcert, sslkey, sslrootcert) cannot be read: ${String(error.code)}.`
          : `The database URL is not a valid postgres:// URL: ${expected}. ` +
            "Special characters in the user or the password must be percent-encoded."
      )
  })

interface Plan {
  readonly peers: Peers
  /** What is opened, for the log. */
  readonly description: string
  readonly openDriver: Effect.Effect<Driver, DatabaseError>
}

const prepare = (options: OpenOptions): Effect.Effect<Plan, DatabaseError> =>
  Effect.gen(function*() {
    const target = yield* parseUrl(options.url)
    if (target._tag === "Pglite") {
      const { folder } = target
      const peers = yield* pglitePeers
      return {
        peers,
        description: `embedded PGlite, in ${folder === undefined ? "memory" : `the folder ${folder}`}`,
        openDriver: openPglite(peers, folder)
      }
    }
    const peers = yield* postgresPeers
    const label = yield* labelOf(peers.pg.default, target.url)
    return {
      peers,
      description: `PostgreSQL at ${label}`,
      openDriver: openPostgres(peers, { ...options, url: target.url, label })
    }
  })

/** Opens what the URL names, and adds its release to the scope. */
export const open = (
  options: OpenOptions
): Effect.Effect<Context.Context<Database | SqlClient.SqlClient>, DatabaseError | BudgetError, Scope.Scope> =>
  Effect.gen(function*() {
    const { description, openDriver, peers } = yield* prepare(options)
    const driver = yield* Drain.acquire({
      name: options.name,
      drainTimeout: options.drainTimeout,
      releaseTimeout: options.releaseTimeout,
      acquire: openDriver,
      quiesce: (driver) => driver.quiesce,
      drain: (driver) => driver.drain,
      interrupt: (driver) => driver.interrupt,
      release: (driver) => driver.release,
      progress: (driver) => driver.progress()
    })
    const reactivity = yield* peers["@effect/experimental"].make
    const { attributes, begin, pool } = driver
    const sql = makeSqlClient({ peers, reactivity, tag: sharedTransaction, pool, begin, attributes })
    const reserved = driver.reserved === pool
      ? sql
      : makeSqlClient({ peers, reactivity, tag: ownTransaction, pool: driver.reserved, begin, attributes })
    yield* Effect.logInfo(`${options.name}: ${description}`)
    return Context.make(SqlClientTag, sql).pipe(
      Context.add(Database, {
        kind: driver.kind,
        reserved,
        listen: driver.listen,
        notify: (channel, payload) => Effect.asVoid(sql`SELECT pg_notify(${channel}, ${payload})`)
      })
    )
  })
