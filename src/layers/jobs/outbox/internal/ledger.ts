import type { SqlClient } from "@effect/sql"
import { type Duration, Effect } from "effect"
import { execute, type Row } from "../../../database/contract.js"
import { causeOf } from "../../../database/contract.js"
import { JobSourceError } from "../../JobSource.js"
import { type Statements, statementsOf } from "./statements.js"

/** The rows of one queue. Every statement joins the transaction of whoever calls. */
export interface Ledger {
  readonly queue: string
  readonly sql: SqlClient.SqlClient
  readonly statements: Statements
  readonly failure: (operation: string) => (error: unknown) => JobSourceError
  readonly run: (
    operation: string,
    statement: string,
    ...values: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<Row>, JobSourceError>
}

export const ledgerOf = (sql: SqlClient.SqlClient, table: string, queue: string): Ledger => {
  const failure = (operation: string) => (error: unknown) =>
    new JobSourceError({ operation, queue, cause: causeOf(error) })
  return {
    queue,
    sql,
    statements: statementsOf(table),
    failure,
    run: (operation, statement, ...values) =>
      Effect.mapError(execute(sql, statement, [queue, ...values]), failure(operation))
  }
}

/** When a row is offered again to an engine that may have lost it. */
export interface Patience {
  readonly earliest: Duration.Duration
  readonly latest: Duration.Duration
}
