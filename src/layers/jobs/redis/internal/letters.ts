import type { RedisQueueBackend } from "bullmq"
import { DateTime, Effect, Option } from "effect"
import type { Redis } from "ioredis"
import type { DeadLetter, DeadLetters, JobSourceError } from "../../JobSource.js"
import { type Asking, codeOf } from "./asking.js"
import { encodeId } from "./ids.js"
import type { Scripts } from "./scripts.js"
import { toDeadLetter } from "./stored.js"

/** The dead letters of a queue are what BullMQ calls its failed jobs. */
export const letters = (options: {
  readonly backend: RedisQueueBackend
  readonly redis: Redis
  readonly scripts: Scripts
  readonly ask: Asking["ask"]
  readonly wake: Effect.Effect<void>
}): DeadLetters => {
  const { ask, backend, redis, scripts, wake } = options
  const failed = backend.keys["failed"]!

  const dead = async (jobId: string): Promise<DeadLetter | undefined> => {
    const [score, json] = await Promise.all([redis.zscore(failed, jobId), backend.getJobData(jobId)])
    return score === null || json === undefined ? undefined : toDeadLetter(jobId, json)
  }

  /** Those that failed at that moment or later, in their order: by the moment, then by id. */
  const list = async (limit: number, after: { readonly id: string; readonly at: number } | undefined) => {
    const found: Array<DeadLetter> = []
    for (let offset = 0; found.length < limit;) {
      const page = await redis.zrangebyscore(failed, after?.at ?? "-inf", "+inf", "WITHSCORES", "LIMIT", offset, limit)
      for (let n = 0; n < page.length && found.length < limit; n += 2) {
        const jobId = page[n]!
        if (after !== undefined && Number(page[n + 1]) === after.at && jobId <= after.id) continue
        const letter = await dead(jobId)
        if (letter !== undefined) found.push(letter)
      }
      offset += limit
      if (page.length < 2 * limit) break
    }
    return found
  }

  const retry = async (jobId: string, fromStart: boolean): Promise<boolean> => {
    if (!(await scripts.forgive(jobId, fromStart))) return false
    try {
      const job = { id: jobId, opts: {} } as unknown as Parameters<typeof backend.retryFinishedJob>[0]
      await backend.retryFinishedJob(job, "failed", { resetAttemptsMade: true, resetAttemptsStarted: true })
      return true
    } catch (error) {
      // Somebody else was quicker.
      if (codeOf(error) === -1 || codeOf(error) === -3) return false
      throw error
    }
  }

  const count = (
    operation: string,
    ids: ReadonlyArray<string>,
    each: (jobId: string) => Promise<boolean>
  ): Effect.Effect<number, JobSourceError> =>
    ask(operation, async () => {
      let done = 0
      for (const id of new Set(ids)) if (await each(encodeId(id))) done++
      return done
    })

  return {
    list: (limit, after) =>
      ask(
        "deadLetters.list",
        () => list(limit, after && { id: encodeId(after.id), at: DateTime.toEpochMillis(after.failedAt) })
      ),
    get: (id) => Effect.map(ask("deadLetters.get", () => dead(encodeId(id))), Option.fromNullable),
    redrive: (ids, options) =>
      Effect.zipLeft(count("deadLetters.redrive", ids, (jobId) => retry(jobId, options?.fromStart === true)), wake),
    discard: (ids) => count("deadLetters.discard", ids, scripts.discard)
  }
}
