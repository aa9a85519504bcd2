import type { JobJson } from "bullmq"
import { DateTime, Option, Predicate } from "effect"
import type { Claim, DeadLetter } from "../../JobSource.js"
import { decodeId } from "./ids.js"

/** How BullMQ keeps a payload: JSON. Others may have put anything there. */
export const encodePayload = (payload: unknown): string => JSON.stringify(payload) ?? "null"

const decodePayload = (data: string): unknown => {
  try {
    return JSON.parse(data)
  } catch {
    return data
  }
}

/** A cursor is the job's progress, which BullMQ's tools show. */
export const encodeCursor = (cursor: unknown): string => JSON.stringify({ cursor: cursor ?? null })

const cursorOf = ({ progress }: JobJson): Option.Option<unknown> =>
  Predicate.hasProperty(progress, "cursor") ? Option.some(progress.cursor) : Option.none()

/** The attempts that are over: failures, and deaths of processes. Hand-backs are neither. */
const spent = ({ attemptsMade = 0, stalledCounter = 0 }: JobJson): number => attemptsMade + stalledCounter

/** What is known of a job that is not dead. */
export const toJob = (jobId: string, json: JobJson) => ({
  id: decodeId(jobId),
  payload: decodePayload(json.data),
  attempt: spent(json) + 1,
  cursor: cursorOf(json)
})

export const toClaim = (jobId: string, json: JobJson, token: string): Claim => ({ ...toJob(jobId, json), token })

export const toDeadLetter = (jobId: string, json: JobJson): DeadLetter => ({
  ...toJob(jobId, json),
  attempt: spent(json),
  error: json.failedReason ?? "",
  failedAt: DateTime.unsafeMake(json.finishedOn ?? 0)
})
