/**
 * Opens the database that a URL names, and makes its clients. `PgClient.layer` knows one kind, takes a URL of any
 * other for one of it, and does not say what is wrong in a URL, or which server it could not reach.
 */
import type { SqlClient } from "@effect/sql"
import type { PgClient } from "@effect/sql-pg"
import { Context, Duration, Effect, Either, Option, Predicate, Redacted, Scope } from "effect"
import * as Drain from "../../../core/Drain.js"
import { once } from "../../../core/internal/once.js"
import { misencoded } from "../../../core/internal/urlCredentials.js"
import type { BudgetError } from "../../../core/ShutdownConfig.js"
import { Database, DatabaseError, PgClientTag, SqlClientTag, TransactionTag } from "../contract.js"
import { resolvedConfig, type ServerOptions } from "./clientConfig.js"
import type { Driver } from "./connectionPool.js"
import { type Peers, type Pg, pglitePeers, postgresPeers } from "./peers.js"
import { openPglite } from "./pglite.js"
import { openPostgres, type PostgresOptions } from "./postgres.js"
import { makeSqlClient, ownTransaction } from "./sqlClient.js"

export interface OpenOptions
  extends
    Drain.Timeouts,
    Omit<PostgresOptions, "url" | "label">,
    Pick<PgClient.PgClientConfig, "spanAttributes" | "transformQueryNames" | "transformResultNames" | "transformJson">
{
  readonly name: string
  readonly url: Redacted.Redacted | undefined
  /** Infinite if a statement may take any time. */
  readonly statementTimeout: Duration.Duration
}

/** The parts of a URL. Error messages never repeat the URL: any part of a malformed one may be a password. */
type Target =
  | { readonly _tag: "Pglite"; readonly folder: string | undefined }
  | { readonly _tag: "Postgres"; readonly url: string | undefined }

const invalidUrl = (message: string) => new DatabaseError({ reason: "InvalidUrl", message })

const expected = "expected postgres://user:password@host:port/database, pglite:./folder or pglite:memory"

const unparsable = invalidUrl(
  `The database URL is not a valid postgres:// URL: ${expected}. ` +
    "Special characters in the user or the password must be percent-encoded."
)

/** As the parser of `pg` does, which also takes a host that is a folder, and none at all. */
const isParsed = (url: string) =>
  [url, url.replace("@/", "@socket/")].some((url) => URL.canParse(url.replaceAll(" ", "%20"), "postgres://base"))

/** Finds what is wrong in a URL before anything is opened. */
export const parseUrl = (redacted: Redacted.Redacted): Either.Either<Target, DatabaseError> => {
  const url = Redacted.value(redacted).trim()
  if (url === "") return Either.left(invalidUrl(`The database URL is empty: ${expected}.`))
  if (/^postgres(ql)?:\/\//i.test(url)) {
    const wrong = misencoded(url)
    if (wrong !== undefined) return Either.left(invalidUrl(`The database URL ${wrong}: ${expected}.`))
    return isParsed(url) ? Either.right({ _tag: "Postgres", url }) : Either.left(unparsable)
  }
  const pglite = /^pglite:(?:\/\/)?(.*)$/i.exec(url)
  if (pglite === null) {
    const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)
    return Either.left(invalidUrl(
      scheme === null
        ? `The database URL has no scheme: ${expected}.`
        : `The database URL has an unknown scheme, ${scheme[1]}://: ${expected}.`
    ))
  }
  const folder = pglite[1]?.trim() ?? ""
  if (folder === "") return Either.left(invalidUrl(`The database URL names no folder: ${expected}.`))
  return Either.right({ _tag: "Pglite", folder: folder === "memory" ? undefined : folder })
}

const resolve = (pg: Pg, options: ServerOptions): Effect.Effect<PgClient.PgClientConfig, DatabaseError> =>
  Effect.try({
    // Parses as the pool does.
    try: () => resolvedConfig(pg, options),
    // The message of the parser may repeat the password.
    catch: (error) =>
      Predicate.hasProperty(error, "syscall") && Predicate.hasProperty(error, "code")
        ? invalidUrl(
          `A file that the database URL names (sslcert, sslkey, sslrootcert) cannot be read: ${String(error.code)}.`
        )
        : unparsable
  })

interface Plan {
  readonly peers: Peers
  readonly config: PgClient.PgClientConfig
  /** What is opened, for the log. */
  readonly description: string
  readonly openDriver: Effect.Effect<Driver, DatabaseError>
}

const prepare = (options: OpenOptions): Effect.Effect<Plan, DatabaseError> =>
  Effect.gen(function*() {
    const target: Target = options.url === undefined
      ? { _tag: "Postgres", url: undefined }
      : yield* parseUrl(options.url)
    if (target._tag === "Pglite") {
      const { folder } = target
      const peers = yield* pglitePeers
      return {
        peers,
        config: { database: folder ?? "memory", types: options.types },
        description: `embedded PGlite, in ${folder === undefined ? "memory" : `the folder ${folder}`}`,
        openDriver: openPglite(peers, folder, options.types)
      }
    }
    const peers = yield* postgresPeers
    const server = { ...options, url: target.url }
    const config = yield* resolve(peers.pg.default, server)
    const label = `${config.host}:${config.port}, database "${config.database}"`
    return {
      peers,
      config,
      description: `PostgreSQL at ${label}`,
      openDriver: openPostgres(peers, { ...server, label })
    }
  })

/** Opens what the URL names, and adds its release to the scope. */
export const open = (
  options: OpenOptions
): Effect.Effect<
  Context.Context<Database | PgClient.PgClient | SqlClient.SqlClient>,
  DatabaseError | BudgetError,
  Scope.Scope
> =>
  Effect.gen(function*() {
    const { config: resolved, description, openDriver, peers } = yield* prepare(options)
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
    yield* Effect.forkScoped(driver.watch)
    const { begin, hear, kind, listen, pool, thread } = driver
    const scope = yield* Effect.scope
    const portals = kind === "postgres"
    const statementTimeout = portals ? options.statementTimeout : Duration.infinity
    const { maxConnections, spanAttributes, transformJson, transformQueryNames, transformResultNames } = options
    const config: PgClient.PgClientConfig = {
      ...resolved,
      maxConnections,
      spanAttributes,
      transformJson,
      transformQueryNames,
      transformResultNames
    }
    const common = { peers, reactivity, begin, config, listen, portals, statementTimeout }
    const sql = makeSqlClient({ ...common, tag: TransactionTag, pool })
    const reserved = driver.reserved === pool
      ? sql
      : makeSqlClient({ ...common, tag: ownTransaction, pool: driver.reserved })
    yield* Effect.logInfo(`${options.name}: ${description}`)
    return Context.make(SqlClientTag, sql as SqlClient.SqlClient).pipe(
      Context.add(PgClientTag, sql),
      Context.add(Database, {
        kind,
        connections: Option.some(kind === "postgres" ? maxConnections : 1),
        reserved,
        listen: hear,
        thread: thread && once(() => Scope.extend(thread, scope))(),
        notify: sql.notify
      })
    )
  })
