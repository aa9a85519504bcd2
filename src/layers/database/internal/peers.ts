/**
 * The optional peers of the database, loaded before it is opened: a static import would make them required for apps without a database, and
 * Node's error names one missing package at a time.
 */
import type { Effect } from "effect"
import type { Duplex } from "node:stream"
import { optionalPeers, rethrow } from "../../../core/internal/optionalPeers.js"

const common = {
  "@effect/experimental": () => import("@effect/experimental/Reactivity").catch(rethrow),
  "@effect/sql": () => import("@effect/sql").catch(rethrow),
  "@effect/sql-pg": () => import("@effect/sql-pg/PgClient").catch(rethrow),
  pg: () => import("pg").catch(rethrow)
}

export const postgresPeers = optionalPeers("Database on PostgreSQL", common)

export const pglitePeers = optionalPeers("Database on PGlite", {
  ...common,
  "@electric-sql/pglite": () => import("@electric-sql/pglite").catch(rethrow)
})

export const migratorPeers = optionalPeers("Database.migrations", { "@effect/sql": common["@effect/sql"] })

/** What both databases need: PGlite uses the parsers of `pg`. */
export type Peers = Effect.Effect.Success<typeof postgresPeers>

export type PglitePeers = Effect.Effect.Success<typeof pglitePeers>

/** The classes of `pg`. */
export type Pg = Peers["pg"]["default"]

/** Fields of a client that `pg` has and its types lack. */
export interface ClientInternals {
  readonly host: string
  readonly port: number
  readonly ssl: boolean | object
  readonly sslNegotiation: string
  readonly processID: number | null
  readonly secretKey: number | null
  /** Whether the server waits for a statement. */
  readonly readyForQuery: boolean
  readonly _ended: boolean
  readonly _queryable: boolean
  /** Emits the messages of the protocol. */
  readonly connection: NodeJS.EventEmitter & {
    readonly stream: Duplex
    /** The texts of prepared statements, by name. */
    readonly parsedStatements: Record<string, string>
    readonly parse: (statement: { readonly text: string }) => void
    readonly bind: (portal: object) => void
    readonly close: (what: { readonly type: "S" | "P"; readonly name: string }) => void
    readonly describe: (what: { readonly type: "S" | "P"; readonly name: string }) => void
    readonly execute: (portal: { readonly portal: string; readonly rows: number }) => void
    readonly sync: () => void
  }
}
