import { DateTime, Option } from "effect"
import type { DeadLetter } from "../JobSource.js"

type Row = Readonly<Record<string, unknown>>

/** The value of a column of JSON that is read as text; none without one. */
export const fromText = (text: unknown): Option.Option<unknown> =>
  Option.map(Option.fromNullable(text as string | null), (text): unknown => JSON.parse(text))

/**
 * A job by its row. Payload and cursor are read as text: drivers give the JSON `null` for a cursor that is null and for
 * one that is not there.
 */
export const toJob = (row: Row) => ({
  id: row.id as string,
  payload: JSON.parse(row.payload as string) as unknown,
  attempt: row.attempt as number,
  cursor: fromText(row.cursor)
})

export const toDeadLetter = (row: Row): DeadLetter => ({
  ...toJob(row),
  error: row.error as string,
  failure: fromText(row.failure),
  failedAt: DateTime.unsafeMake(row.failed_at as number)
})
