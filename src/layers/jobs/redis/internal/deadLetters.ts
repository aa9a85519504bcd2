import type { RedisQueueBackend } from "bullmq"
import { DateTime, Effect, Option } from "effect"
import type { Redis } from "ioredis"
import type { DeadLetter, DeadLetters, JobSourceError } from "../../JobSource.js"
import { encodeId } from "./ids.js"
import { failureField, toDeadLetter } from "./jobRecord.js"
import { isNoDeadLetter, type RedisCommands } from "./redisCommands.js"
import type { Scripts } from "./scripts.js"

/** The dead letters of a queue are BullMQ's failed jobs. */
export const deadLetters = (options: {
  readonly backend: RedisQueueBackend
  readonly redis: Redis
  readonly scripts: Scripts
  readonly send: RedisCommands["send"]
  readonly wake: Effect.Effect<void>
}): DeadLetters => {
  const { backend, redis, scripts, send, wake } = options
  const failed = backend.keys["failed"]!

  const get = async (jobId: string): Promise<DeadLetter | undefined> => {
    const [score, json, failure] = await Promise.all([
      redis.zscore(failed, jobId),
      backend.getJobData(jobId),
      redis.hget(backend.toKey(jobId), failureField)
    ])
    return score === null || json === undefined ? undefined : toDeadLetter(jobId, json, failure)
  }

  /** In the order of their failures, those of one millisecond in the order of their ids. */
  const list = async (limit: number, after: { readonly id: string; readonly at: number } | undefined) => {
    const found: Array<DeadLetter> = []
    for (let offset = 0; found.length < limit;) {
      const page = await redis.zrangebyscore(failed, after?.at ?? "-inf", "+inf", "WITHSCORES", "LIMIT", offset, limit)
      for (let n = 0; n < page.length && found.length < limit; n += 2) {
        const jobId = page[n]!
        if (after !== undefined && Number(page[n + 1]) === after.at && jobId <= after.id) continue
        const letter = await get(jobId)
        if (letter !== undefined) found.push(letter)
      }
      offset += limit
      if (page.length < 2 * limit) break
    }
    return found
  }

  const redrive = async (jobId: string, fromStart: boolean): Promise<boolean> => {
    if (!(await scripts.resetAttempts(jobId, fromStart))) return false
    try {
      const job = { id: jobId, opts: {} } as unknown as Parameters<typeof backend.retryFinishedJob>[0]
      await backend.retryFinishedJob(job, "failed", { resetAttemptsMade: true, resetAttemptsStarted: true })
      return true
    } catch (error) {
      if (isNoDeadLetter(error)) return false
      throw error
    }
  }

  const count = (
    operation: string,
    ids: ReadonlyArray<string>,
    change: (jobId: string) => Promise<boolean>
  ): Effect.Effect<number, JobSourceError> =>
    send(operation, async () => {
      let changed = 0
      for (const id of new Set(ids)) if (await change(encodeId(id))) changed++
      return changed
    })

  return {
    list: (limit, after) =>
      send(
        "deadLetters.list",
        () => list(limit, after && { id: encodeId(after.id), at: DateTime.toEpochMillis(after.failedAt) })
      ),
    get: (id) => Effect.map(send("deadLetters.get", () => get(encodeId(id))), Option.fromNullable),
    redrive: (ids, options) =>
      Effect.zipLeft(count("deadLetters.redrive", ids, (jobId) => redrive(jobId, options?.fromStart === true)), wake),
    discard: (ids) => count("deadLetters.discard", ids, scripts.discard)
  }
}
