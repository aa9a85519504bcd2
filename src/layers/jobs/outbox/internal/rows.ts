import type { Row } from "../../../database/contract.js"
import { toJob } from "../../internal/jobRecord.js"
import type { StoredJob } from "../../JobSource.js"

/** What the engine holds of a job whose row is in the database, where everything else is. */
export const ticket = { lastcall: "outbox" }

export const isTicket = (payload: unknown): boolean =>
  typeof payload === "object" && payload !== null && "lastcall" in payload && payload.lastcall === ticket.lastcall

export const toStoredJob = (row: Row): StoredJob => {
  const job = toJob(row)
  if (row.state === "Dead") return { ...job, state: "Dead" }
  if (row.state === "Held") return { ...job, state: "Running" }
  return { ...job, state: "Waiting", attempt: row.state === "HandedBack" ? job.attempt : job.attempt + 1 }
}
