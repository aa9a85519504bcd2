import type { SqlClient } from "@effect/sql"
import { Effect } from "effect"
import { causeOf, executeOwn, type Row } from "../../../database/contract.js"
import { toJob } from "../../internal/jobRecord.js"
import { type Claim, JobSourceError } from "../../JobSource.js"

/** Runs a statement over the rows of one queue, whose name is `$1`. */
export type Run = (
  operation: string,
  statement: string,
  ...values: ReadonlyArray<unknown>
) => Effect.Effect<ReadonlyArray<Row>, JobSourceError>

/** The error of an operation on a queue. */
export const failureOf = (queue: string) => (operation: string) => (error: unknown): JobSourceError =>
  new JobSourceError({ operation, queue, cause: causeOf(error) })

/** Statements join the transaction of their caller, unless the client is the reserved one. */
export const runOn = (client: SqlClient.SqlClient, queue: string): Run => (operation, statement, ...values) =>
  Effect.mapError(executeOwn(client, statement, [queue, ...values]), failureOf(queue)(operation))

export const toClaim = (row: Row): Claim => ({
  ...toJob(row),
  token: row.fence as string,
  orphan: row.orphan as boolean
})
