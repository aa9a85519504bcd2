import type { SqlClient } from "@effect/sql"
import { Array, DateTime, Effect, Option } from "effect"
import { causeOf, execute, type Row } from "../../../database/contract.js"
import { toDeadLetter, toJob } from "../../internal/jobRecord.js"
import { isStorableId } from "../../internal/storable.js"
import { type DeadLetters, JobSourceError, type StoredJob } from "../../JobSource.js"
import { type Statements, statementsOf } from "./statements.js"

/** The rows of one queue. Every statement joins the transaction of its caller. */
export interface OutboxRows {
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

export const outboxRows = (sql: SqlClient.SqlClient, table: string, queue: string): OutboxRows => {
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

const toStoredJob = (row: Row): StoredJob => {
  const job = toJob(row)
  if (row.state === "Dead") return { ...job, state: "Dead" }
  if (row.state === "Held") return { ...job, state: "Running" }
  return { ...job, state: "Waiting", attempt: row.state === "HandedBack" ? job.attempt : job.attempt + 1 }
}

export const find = ({ run, statements }: OutboxRows, id: string) =>
  !isStorableId(id)
    ? Effect.succeedNone
    : Effect.map(run("find", statements.find, id), (rows) => Option.map(Array.head(rows), toStoredJob))

/** Kept in the table alone: the engine has acknowledged these jobs. */
export const deadLetters = ({ run, statements }: OutboxRows): DeadLetters => {
  const count = (operation: string, statement: string, ids: ReadonlyArray<string>, ...more: ReadonlyArray<unknown>) =>
    Effect.map(run(operation, statement, ids.filter(isStorableId), ...more), ([row]) => row?.jobs as number)
  return {
    list: (limit, after) =>
      Effect.map(
        run(
          "deadLetters.list",
          statements.deadLetters,
          limit,
          after === undefined ? null : DateTime.formatIso(after.failedAt),
          after?.id ?? null
        ),
        Array.map(toDeadLetter)
      ),
    get: (id) =>
      !isStorableId(id) ? Effect.succeedNone : Effect.map(
        run("deadLetters.get", statements.getDeadLetter, id),
        (rows) => Option.map(Array.head(rows), toDeadLetter)
      ),
    redrive: (ids, options) => count("deadLetters.redrive", statements.redrive, ids, options?.fromStart === true),
    discard: (ids) => count("deadLetters.discard", statements.discard, ids)
  }
}
