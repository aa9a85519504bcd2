import { DateTime, Option } from "effect"
import type { Row } from "../../../database/contract.js"
import type { DeadLetter, StoredJob } from "../../JobSource.js"

/** What the engine holds of a job whose row is in the database, where everything else is. */
export const ticket = { lastcall: "outbox" }

export const isTicket = (payload: unknown): boolean =>
  typeof payload === "object" && payload !== null && "lastcall" in payload && payload.lastcall === ticket.lastcall

/** What a row says of its job, however it is read. */
export const toJob = (row: Row) => ({
  id: row.id as string,
  payload: JSON.parse(row.payload as string) as unknown,
  attempt: row.attempt as number,
  // Without a checkpoint there is no cursor; one that is null is text.
  cursor: Option.map(Option.fromNullable(row.cursor as string | null), (cursor): unknown => JSON.parse(cursor))
})

export const toStoredJob = (row: Row): StoredJob => {
  const job = toJob(row)
  if (row.state === "Dead") return { ...job, state: "Dead" }
  if (row.state === "Held") return { ...job, state: "Running" }
  return { ...job, state: "Waiting", attempt: row.state === "HandedBack" ? job.attempt : job.attempt + 1 }
}

export const toDeadLetter = (row: Row): DeadLetter => ({
  ...toJob(row),
  error: row.error as string,
  failedAt: DateTime.unsafeMake(row.failed_at as number)
})
