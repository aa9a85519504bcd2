/** Writes once for each key. Neither `@effect/sql` nor `pg` has this: the key and the writes must be in one transaction. */
import type { SqlClient, SqlError } from "@effect/sql"
import { Duration, Effect, Option } from "effect"
import { brief, execute, executeOwn, SqlClientTag } from "../contract.js"

const table = "lastcall_once"

/** Creates the table where it is missing. Processes that find it missing at the same time wait for each other. */
const ensureTable = (sql: SqlClient.SqlClient) =>
  Effect.flatMap(
    execute(sql, brief(`SELECT to_regclass('${table}') IS NOT NULL AS there`)),
    ([row]) =>
      row?.there === true ? Effect.void : Effect.zipRight(
        executeOwn(sql, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [table]),
        executeOwn(
          sql,
          `CREATE TABLE IF NOT EXISTS ${table} (key text PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());
        CREATE INDEX IF NOT EXISTS ${table}_at ON ${table} (at)`
        )
      )
  )

/** See `Database.once`. A second caller of a key waits for the first one's commit, or writes if the first one failed. */
export const once = <A, E, R>(
  key: string,
  writes: Effect.Effect<A, E, R>,
  keptFor: Duration.Duration
): Effect.Effect<Option.Option<A>, E | SqlError.SqlError, R | SqlClient.SqlClient> =>
  Effect.flatMap(SqlClientTag, (sql) =>
    sql.withTransaction(Effect.gen(function*() {
      yield* ensureTable(sql)
      const rows = yield* executeOwn(
        sql,
        `WITH forgotten AS (
          DELETE FROM ${table} WHERE key IN (
            SELECT key FROM ${table} WHERE at < clock_timestamp() - $2::float8 * interval '1 second' AND key <> $1
            ORDER BY at LIMIT 10 FOR UPDATE SKIP LOCKED))
        INSERT INTO ${table} (key) VALUES ($1) ON CONFLICT (key) DO NOTHING RETURNING key`,
        [key, Duration.toSeconds(keptFor)]
      )
      return rows.length === 0 ? Option.none<A>() : Option.some(yield* writes)
    })))
