import { DateTime, Option } from "effect"
import { createHash, randomUUID } from "node:crypto"
import type { JobWithMetadata } from "pg-boss"
import type { Row } from "../../../database/contract.js"
import type { Claim, DeadLetter, StoredJob } from "../../JobSource.js"
import { retryLimit } from "./statements.js"

/** What is stored of a job, in pg-boss's `data`. Without a checkpoint there is no cursor. */
export interface Data {
  /** When it was offered, in microseconds. */
  readonly at: number
  /** The id that it was offered with, when that is no UUID. */
  readonly id?: string
  readonly payload?: unknown
  readonly cursor?: unknown
}

const isUuid = (id: string) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)

/** The key of a job's row, which is a UUID: its id, or a hash of what its owner calls it. */
export const keyOf = (id: string): string => {
  if (isUuid(id)) return id
  const hash = createHash("sha256").update(id).digest("hex")
  // A UUID of version 8: of somebody's own making.
  return `${hash.slice(0, 8)}-${hash.slice(8, 12)}-8${hash.slice(13, 16)}-8${hash.slice(17, 20)}-${hash.slice(20, 32)}`
}

/** A job as `statements.offer` takes it. */
export const toStored = (payload: unknown, id: string = randomUUID()) => {
  const key = keyOf(id)
  return { id, stored: { id: key, data: key === id ? { payload } : { payload, id } } }
}

const attemptOf = (retryCount: number, limit: number) => retryCount - (limit - retryLimit) + 1
const cursorOf = (data: Data) => "cursor" in data ? Option.some(data.cursor) : Option.none()

export const toClaim = (job: JobWithMetadata<Data>): Claim => ({
  id: job.data.id ?? job.id,
  token: `${job.retryCount}`,
  payload: job.data.payload,
  attempt: attemptOf(job.retryCount, job.retryLimit),
  cursor: cursorOf(job.data)
})

/** A row of `found`, see `statementsOf`. */
const toJob = (row: Row) => {
  const data = row.data as Data
  return {
    id: data.id ?? row.id as string,
    payload: data.payload,
    attempt: attemptOf(row.retry_count as number, row.retry_limit as number),
    cursor: cursorOf(data)
  }
}

export const toStoredJob = (row: Row): StoredJob => {
  const job = toJob(row)
  // A claim takes the next number, except the first one: so the attempt that ran is behind the one that will run.
  return row.state === "active" ? { ...job, state: "Running" } : row.state === "failed"
    ? { ...job, state: "Dead" }
    : { ...job, state: "Waiting", attempt: row.state === "retry" ? job.attempt + 1 : job.attempt }
}

export const toDeadLetter = (row: Row): DeadLetter => ({
  ...toJob(row),
  error: row.error as string,
  failedAt: DateTime.unsafeMake(row.failed_at as number)
})
