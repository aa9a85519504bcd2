import { DateTime, Option } from "effect"
import type { DeadLetter } from "../JobSource.js"

type Row = Readonly<Record<string, unknown>>

/**
 * A job by its row. Payload and cursor are read as text: drivers give the JSON `null` for a cursor that is null and for
 * one that is not there.
 */
export const toJob = (row: Row) => ({
  id: row.id as string,
  payload: JSON.parse(row.payload as string) as unknown,
  attempt: row.attempt as number,
  cursor: Option.map(Option.fromNullable(row.cursor as string | null), (cursor): unknown => JSON.parse(cursor))
})

/** What a dead letter failed with, encoded. */
export const failureOf = (row: Row): Option.Option<unknown> =>
  Option.map(Option.fromNullable(row.failure as string | null), (text): unknown => JSON.parse(text))

export const toDeadLetter = (row: Row): DeadLetter => ({
  ...toJob(row),
  error: row.error as string,
  failure: failureOf(row),
  failedAt: DateTime.unsafeMake(row.failed_at as number)
})
