import type { SqlClient, SqlError } from "@effect/sql"
import { Context, Effect, Schema, type Stream } from "effect"

/**
 * What a database can do beyond SQL statements. See `Database.Database`.
 */
export interface Service {
  readonly kind: "pglite" | "postgres"
  /**
   * A client on a connection of its own, for what must not wait behind work: lease renewals, above all. A pool whose
   * connections are all taken does not delay it. On PGlite there is one connection, so this is the same client.
   */
  readonly reserved: SqlClient.SqlClient
  /**
   * The payloads of `NOTIFY channel`. A lost connection is made anew with a backoff, so the stream neither fails nor
   * ends. Each time it has begun to listen, the first included, it emits an empty string: notifications may have been
   * missed before, so look for yourself once.
   */
  readonly listen: (channel: string) => Stream.Stream<string>
  /** Wakes those who listen, of any process. Inside a transaction: when it commits, and only then. */
  readonly notify: (channel: string, payload: string) => Effect.Effect<void, SqlError.SqlError>
}

/** See `Database.Database`. */
export class Database extends Context.Tag("lastcall/Database")<Database, Service>() {}

/** See `Database.DatabaseError`. */
export class DatabaseError extends Schema.TaggedError<DatabaseError>()("DatabaseError", {
  reason: Schema.Literal("InvalidUrl", "Unreachable", "FolderInUse", "FolderUnusable"),
  message: Schema.String
}) {}

/** A row, by column. */
export type Row = Readonly<Record<string, unknown>>

interface RawResult {
  readonly rows?: ReadonlyArray<Row>
}

/** See `Database.execute`. */
export const execute = (
  sql: SqlClient.SqlClient,
  text: string,
  values?: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<Row>, SqlError.SqlError> =>
  Effect.map(
    sql.unsafe(text, values).raw,
    (raw) => (Array.isArray(raw) ? raw as Array<RawResult> : [raw as RawResult]).flatMap((result) => result.rows ?? [])
  )
