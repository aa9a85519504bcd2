import type { JobJson, RedisQueueBackend } from "bullmq"
import { Exit, Option } from "effect"
import type { EndsQueue } from "../../internal/jobEnds.js"
import { type JobEnd, JobSourceError } from "../../JobSource.js"
import type { Connection } from "./connection.js"
import { encodeId } from "./ids.js"
import { failureField, failureOf, keepsId, resultOf } from "./jobRecord.js"
import { makeSend } from "./redisCommands.js"

/** How a job has ended; none when it has not. One that is retried has an error, but has not finished. */
const endOf = (
  queue: string,
  id: string,
  json: JobJson | undefined,
  failedAt: string | null,
  failure: string | null
): Exit.Exit<JobEnd, JobSourceError> | undefined => {
  if (json === undefined) return Exit.succeed({ _tag: "Gone" })
  if (failedAt !== null) {
    return Exit.succeed({ _tag: "DeadLettered", error: json.failedReason ?? "", failure: failureOf(json, failure) })
  }
  if (json.finishedOn !== undefined) return Exit.succeed({ _tag: "Succeeded", value: Option.some(resultOf(json)) })
  if (keepsId(json)) return undefined
  const cause = new Error(
    `the end of job ${JSON.stringify(id)} is not kept. Offer a job that is to be awaited with an id`
  )
  return Exit.fail(new JobSourceError({ operation: "awaitEnd", queue, cause }))
}

/** How the jobs of a queue have ended, as BullMQ stores it. Only those that are offered to be awaited are announced: the others are polled. */
export const endsOf = (name: string, backend: RedisQueueBackend, connection: Connection): EndsQueue => ({
  name,
  read: (ids) =>
    makeSend(name, connection)("awaitEnd", async () => {
      const ends = await Promise.all(ids.map(async (id) => {
        const jobId = encodeId(id)
        const [json, failedAt, failure] = await Promise.all([
          backend.getJobData(jobId),
          connection.redis.zscore(backend.toKey("failed"), jobId),
          connection.redis.hget(backend.toKey(jobId), failureField)
        ])
        const end = endOf(name, id, json, failedAt, failure)
        return end === undefined ? [] : [[id, end] as const]
      }))
      return new Map(ends.flat())
    })
})
