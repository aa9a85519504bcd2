import type { JobJson } from "bullmq"
import { DateTime, Option, Predicate } from "effect"
import { randomUUID } from "node:crypto"
import { defaultPriority } from "../../internal/priority.js"
import type { Claim, DeadLetter } from "../../JobSource.js"
import { decodeId } from "./ids.js"

/** BullMQ stores a payload as JSON. Jobs that other programs added may hold any text. */
export const encodePayload = (payload: unknown): string => JSON.stringify(payload) ?? "null"

const decode = (data: string): unknown => {
  try {
    return JSON.parse(data)
  } catch {
    return data
  }
}

/** The cursor is stored as the job's progress, which BullMQ's dashboards show. */
export const encodeCursor = (cursor: unknown): string => JSON.stringify({ cursor: cursor ?? null })

const cursorOf = ({ progress }: JobJson): Option.Option<unknown> =>
  Predicate.hasProperty(progress, "cursor") ? Option.some(progress.cursor) : Option.none()

/** Failures, and deaths of processes. A hand-back is neither. */
const spentAttempts = ({ attemptsMade = 0, stalledCounter = 0 }: JobJson): number => attemptsMade + stalledCounter

/** A job that is not a dead letter. */
export const toJob = (jobId: string, json: JobJson) => ({
  id: decodeId(jobId),
  payload: decode(json.data),
  attempt: spentAttempts(json) + 1,
  cursor: cursorOf(json)
})

/** The options of a job in BullMQ, with those of `OfferOptions` that it does not have, in milliseconds. */
export const jobOptions = (options: {
  readonly delay: number
  /** None if the id is not to be kept. */
  readonly keepIdFor: number | undefined
  /** The date until which the id is taken in any case. */
  readonly uniqueUntil: number | undefined
  readonly priority: number
  readonly awaited: boolean
}) => {
  const { awaited, delay, keepIdFor, priority, uniqueUntil } = options
  return {
    ...priority > defaultPriority ? { priority } : {},
    ...delay > 0 ? { delay } : {},
    ...keepIdFor === undefined ? {} : { keepIdFor },
    ...uniqueUntil === undefined ? {} : { uniqueUntil },
    ...awaited ? { awaited } : {}
  }
}

/** Whether the end of the job is announced. */
export const isAwaited = ({ opts }: JobJson): boolean => Predicate.hasProperty(opts, "awaited")

/** What the job was acknowledged with: `null` when it was nothing. */
export const resultOf = ({ returnvalue }: JobJson): unknown => decode(returnvalue)

export const keepsId = ({ opts }: JobJson): boolean => Predicate.hasProperty(opts, "keepIdFor")

export const toClaim = (jobId: string, json: JobJson, token: string): Claim => ({
  ...toJob(jobId, json),
  token,
  orphan: (json.stalledCounter ?? 0) > 0
})

/** The field of a job with what it failed with: BullMQ keeps fields that it does not know. */
export const failureField = "lastcall:failure"

/** What the field is set to with every dead letter. */
export const encodeFailure = (error: string, failure: Option.Option<unknown>): string =>
  Option.match(failure, { onNone: () => "", onSome: (failure) => JSON.stringify([error, failure]) })

/** What a dead letter failed with: other programs, and earlier versions, leave the field of an earlier failure, which had its own text. */
export const failureOf = ({ failedReason }: JobJson, field: string | null): Option.Option<unknown> => {
  const [error, failure] = field ? JSON.parse(field) as [string, unknown] : []
  return failedReason !== undefined && error === failedReason ? Option.some(failure) : Option.none()
}

export const toDeadLetter = (jobId: string, json: JobJson, failure: string | null): DeadLetter => ({
  ...toJob(jobId, json),
  attempt: spentAttempts(json),
  error: json.failedReason ?? "",
  failure: failureOf(json, failure),
  failedAt: DateTime.unsafeMake(json.finishedOn ?? 0)
})

/** The token of a lock: no two are the same, and it says who has claimed the job. */
export const lockToken = (by: string): string => `${randomUUID()} ${by}`

/** Who has made the token; none when another program has. */
export const claimantOf = (token: string): Option.Option<string> =>
  Option.fromNullable(/^[0-9a-f-]{36} (.+)$/.exec(token)?.[1])
