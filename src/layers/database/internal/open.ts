import { Reactivity } from "@effect/experimental"
import { SqlClient } from "@effect/sql"
import { Context, type Duration, Effect, Layer, type Redacted, type Scope } from "effect"
import * as Drain from "../../../core/Drain.js"
import { Database, type DatabaseError } from "../contract.js"
import { makeClient, ownTransaction, sharedTransaction } from "./client.js"
import type { Driver } from "./driver.js"
import { parseUrl, type Target } from "./url.js"

export interface OpenOptions extends Drain.Timeouts {
  readonly name: string
  readonly url: Redacted.Redacted
  readonly maxConnections: number
  readonly connectTimeout: Duration.Duration
  readonly idleTransactionTimeout: Duration.Duration
}

/** Each driver is loaded when it is used: the other one need not be installed. */
const openDriver = (target: Target, options: OpenOptions): Effect.Effect<Driver, DatabaseError> =>
  target._tag === "Pglite"
    ? Effect.flatMap(Effect.promise(() => import("./pglite.js")), (_) => _.openPglite(target.folder))
    : Effect.flatMap(Effect.promise(() => import("./postgres.js")), (_) => _.openPostgres({ ...options, ...target }))

const describe = (target: Target): string =>
  target._tag === "Postgres"
    ? `PostgreSQL at ${target.label}`
    : `embedded PGlite, in ${target.folder === undefined ? "memory" : `the folder ${target.folder}`}`

/** Opens what the URL names, puts its release into the scope, and makes the clients. */
export const open = (
  options: OpenOptions
): Effect.Effect<Context.Context<Database | SqlClient.SqlClient>, DatabaseError, Scope.Scope> =>
  Effect.gen(function*() {
    const target = yield* parseUrl(options.url)
    const driver = yield* Drain.acquire({
      name: options.name,
      drainTimeout: options.drainTimeout,
      releaseTimeout: options.releaseTimeout,
      acquire: openDriver(target, options),
      quiesce: (driver) => driver.quiesce,
      drain: (driver) => driver.drain,
      interrupt: (driver) => driver.interrupt,
      release: (driver) => driver.release,
      progress: (driver) => driver.progress()
    })
    const sql = yield* makeClient(sharedTransaction, driver.checkout, driver.begin, driver.attributes)
    yield* Effect.logInfo(`${options.name}: ${describe(target)}`)
    const reserved = driver.reserved === driver.checkout
      ? sql
      : yield* makeClient(ownTransaction, driver.reserved, driver.begin, driver.attributes)
    return Context.make(SqlClient.SqlClient, sql).pipe(
      Context.add(Database, {
        kind: driver.kind,
        reserved,
        listen: driver.listen,
        notify: (channel, payload) => Effect.asVoid(sql`SELECT pg_notify(${channel}, ${payload})`)
      })
    )
  }).pipe(Effect.provide(Layer.fresh(Reactivity.layer)))
