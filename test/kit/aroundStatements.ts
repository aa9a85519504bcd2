import type { SqlClient, SqlError } from "@effect/sql"
import type { Effect } from "effect"

/** A client whose statements run inside of `around`. Those that are given as text, as engines give them. */
export const aroundStatements = (
  sql: SqlClient.SqlClient,
  around: (
    statement: Effect.Effect<unknown, SqlError.SqlError>,
    text: string
  ) => Effect.Effect<unknown, SqlError.SqlError>
): SqlClient.SqlClient =>
  Object.assign((...args: Parameters<SqlClient.SqlClient>) => sql(...args), sql, {
    unsafe: ((text, values) => ({ raw: around(sql.unsafe(text, values).raw, text) })) as SqlClient.SqlClient["unsafe"]
  }) as SqlClient.SqlClient
