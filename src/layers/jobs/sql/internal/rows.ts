import type { SqlClient } from "@effect/sql"
import { Effect } from "effect"
import { causeOf, executeOwn, type Row } from "../../../database/contract.js"
import { toJob } from "../../internal/jobRecord.js"
import { type Claim, JobSourceError, LeaseLost } from "../../JobSource.js"

/** Runs a statement over the rows of one queue, whose name is `$1`. */
export type Run = (
  operation: string,
  statement: string,
  ...values: ReadonlyArray<unknown>
) => Effect.Effect<ReadonlyArray<Row>, JobSourceError>

/** A value of a column of JSON, as it is written. */
export const json = (value: unknown): string => JSON.stringify(value) ?? "null"

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

/** Runs a statement over leases, and gives the claims whose lease it did not find. */
export const settleAll = (run: Run) =>
(
  operation: string,
  statement: string,
  claims: ReadonlyArray<Claim>,
  ...values: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<Claim>, JobSourceError> =>
  claims.length === 0 ? Effect.succeed([]) : Effect.map(
    run(
      operation,
      statement,
      claims.map(({ id }) => id),
      claims.map(({ token }) => token),
      ...values
    ),
    (rows) => {
      const held = new Set(rows.map(({ fence }) => fence))
      return claims.filter(({ token }) => !held.has(token))
    }
  )

/** Fails when the lease of this claim is among those that were lost. */
export const heldOrLost = (
  queue: string,
  claim: Claim,
  settled: Effect.Effect<ReadonlyArray<Claim>, JobSourceError>
): Effect.Effect<unknown, JobSourceError | LeaseLost> =>
  Effect.filterOrFail(settled, (lost) => lost.length === 0, () => new LeaseLost({ queue, id: claim.id }))
