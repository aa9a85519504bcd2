import type { SqlClient, SqlError } from "@effect/sql"
import { Effect } from "effect"

type Row = Readonly<Record<string, unknown>>

/** A table of jobs in the database, and how it came to its present form. */
export interface JobTable {
  readonly name: string
  /**
   * Texts of SQL, numbered from 1 by their place. Append only. Each leaves the table usable by processes of the version
   * before it, which may still run.
   */
  readonly migrations: ReadonlyArray<string>
}

/** Names are put into statements as they are, and into the names of indexes, which have at most 63 bytes. */
export const checkTableName = (name: string): Effect.Effect<void> =>
  /^[a-z_][a-z0-9_]{0,39}$/.test(name) ? Effect.void : Effect.dieMessage(
    `The table of jobs must be at most 40 lower-case letters, digits and "_", but is "${name}"`
  )

/**
 * Runs those migrations of the table that have not been run yet, in one transaction. A lock lets one process do so at a
 * time; the others wait, and find nothing to do. A database that is ahead of this version is left as it is.
 *
 * `execute` is `executeOwn` of the database contract, which this folder does not import.
 */
export const migrate = (
  { migrations, name }: JobTable,
  sql: SqlClient.SqlClient,
  execute: (
    sql: SqlClient.SqlClient,
    text: string,
    values?: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<Row>, SqlError.SqlError>
): Effect.Effect<void, SqlError.SqlError> => {
  const log = `${name}_migrations`
  const applied = Effect.map(
    execute(sql, `SELECT coalesce(max(number), 0)::int AS applied FROM ${log}`),
    ([row]) => row?.applied as number
  )
  const run = Effect.gen(function*() {
    yield* execute(sql, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [log])
    yield* execute(
      sql,
      `CREATE TABLE IF NOT EXISTS ${log} (number int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`
    )
    for (let number = (yield* applied) + 1; number <= migrations.length; number++) {
      // Takes as long as the table is big.
      yield* sql.unsafe(migrations[number - 1]!).raw
      yield* execute(sql, `INSERT INTO ${log} (number) VALUES ($1)`, [number])
    }
  })
  return Effect.gen(function*() {
    const [row] = yield* execute(sql, `SELECT to_regclass('${log}') IS NOT NULL AS present`)
    if (row?.present === true && (yield* applied) >= migrations.length) return
    yield* sql.withTransaction(run)
  })
}
