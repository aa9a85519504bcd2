import type { SqlClient, SqlError } from "@effect/sql"
import type { Effect } from "effect"
import { type RunRaw, runsRaw } from "../../src/layers/database/contract.js"

/** A client whose statements run inside of `around`. Those that are given as text, as engines give them. */
export const aroundStatements = (
  sql: SqlClient.SqlClient,
  around: (
    statement: Effect.Effect<unknown, SqlError.SqlError>,
    text: string
  ) => Effect.Effect<unknown, SqlError.SqlError>
): SqlClient.SqlClient => {
  const run: RunRaw = (text, values) => around(sql.unsafe(text, values).raw, text)
  return Object.assign((...args: Parameters<SqlClient.SqlClient>) => sql(...args), sql, {
    unsafe: ((text, values) => ({ raw: run(text, values) })) as SqlClient.SqlClient["unsafe"],
    [runsRaw]: run
  }) as SqlClient.SqlClient
}
