import type { JobJson, RedisQueueBackend } from "bullmq"
import { Clock, DateTime, Effect, Option } from "effect"
import type { Redis } from "ioredis"
import { after, formatPosition, parsePosition, type Position, toPage } from "../../internal/position.js"
import type { JobQueue } from "../../JobSource.js"
import type { JobState, QueueListing, StoredJob } from "../../QueueControl.js"
import { encodeId } from "./ids.js"
import { claimantOf, failureField, failureOf, toJob } from "./jobRecord.js"
import type { RedisCommands } from "./redisCommands.js"
import { orphans } from "./scripts.js"

/** Lists of Redis have no index, so no more than this of their jobs are looked at, from the one that is claimed next. */
const mostListed = 1_000

/** In the score of a delayed job, BullMQ leaves room for a counter. */
const delayedScale = 0x1000

/** What is in a queue of BullMQ. */
export const redisListing = (options: {
  readonly name: string
  readonly backend: RedisQueueBackend
  readonly redis: Redis
  readonly send: RedisCommands["send"]
}): QueueListing & Pick<JobQueue, "find"> => {
  const { backend, name, redis, send } = options
  const keyOf = (type: string) => backend.toKey(type)

  const toStoredJob = async (jobId: string, state: JobState, now: number): Promise<StoredJob | undefined> => {
    const [json, delayed, lock, lockedFor, failure] = await Promise.all([
      backend.getJobData(jobId),
      state === "Delayed" ? redis.zscore(keyOf("delayed"), jobId) : null,
      state === "Running" ? redis.get(`${keyOf(jobId)}:lock`) : null,
      state === "Running" ? redis.pttl(`${keyOf(jobId)}:lock`) : -1,
      state === "Dead" ? redis.hget(keyOf(jobId), failureField) : null
    ])
    if (json === undefined) return undefined
    const job = toJob(jobId, json)
    const at = (millis: number) => DateTime.unsafeMake(Math.floor(millis))
    return {
      ...job,
      state,
      key: Option.none(),
      attempt: state === "Dead" ? job.attempt - 1 : job.attempt,
      offeredAt: at(json.timestamp),
      dueAt: at(delayed === null ? json.timestamp + (json.opts?.delay ?? 0) : Number(delayed) / delayedScale),
      run: state !== "Running" ? Option.none() : Option.some({
        by: Option.flatMap(Option.fromNullable(lock), claimantOf),
        since: Option.map(Option.fromNullable(json.processedOn), at),
        leaseUntil: lockedFor > 0 ? Option.some(at(now + lockedFor)) : Option.none()
      }),
      error: json.failedReason ? Option.some(json.failedReason) : Option.none(),
      failure: failureOf(json, failure),
      failedAt: state === "Dead" ? Option.map(Option.fromNullable(json.finishedOn), at) : Option.none()
    }
  }

  const find = async (id: string, now: number): Promise<StoredJob | undefined> => {
    const jobId = encodeId(id)
    const [json, failed, delayed, active] = await Promise.all([
      backend.getJobData(jobId),
      redis.zscore(keyOf("failed"), jobId),
      redis.zscore(keyOf("delayed"), jobId),
      redis.lpos(keyOf("active"), jobId)
    ])
    if (json === undefined || (failed === null && json.finishedOn !== undefined)) return undefined
    return toStoredJob(
      jobId,
      failed !== null ? "Dead" : active !== null ? "Running" : delayed !== null ? "Delayed" : "Waiting",
      now
    )
  }

  /** The jobs of a list, with the time in a field of each. */
  const timed = (jobIds: ReadonlyArray<string>, field: keyof JobJson): Promise<ReadonlyArray<Position>> =>
    Promise.all(jobIds.map(async (key) => ({ key, at: Number(await redis.hget(keyOf(key), field) ?? 0) })))

  /** Members of a sorted set, from a position on, with one more than the limit. */
  const sorted = async (type: string, position: Option.Option<Position>, limit: number) => {
    const found: Array<Position> = []
    const from = Option.match(position, { onNone: () => "-inf", onSome: ({ at }) => String(at) })
    for (let offset = 0; found.length <= limit; offset += limit + 1) {
      const page = await redis.zrangebyscore(keyOf(type), from, "+inf", "WITHSCORES", "LIMIT", offset, limit + 1)
      const members: Array<Position> = []
      for (let n = 0; n < page.length; n += 2) members.push({ key: page[n]!, at: Number(page[n + 1]) })
      found.push(...after(members, position, limit))
      if (members.length <= limit) break
    }
    return found.slice(0, limit + 1)
  }

  const positions = async (state: JobState, position: Option.Option<Position>, limit: number) => {
    switch (state) {
      case "Waiting": {
        const [setAside, next, prioritized] = await Promise.all([
          redis.lrange(keyOf(orphans), 0, mostListed - 1),
          redis.lrange(keyOf("wait"), -mostListed, -1),
          redis.zrange(keyOf("prioritized"), 0, mostListed - 1)
        ])
        const jobIds = [...setAside, ...next.reverse(), ...prioritized].slice(0, mostListed)
        return after(await timed(jobIds, "timestamp"), position, limit)
      }
      case "Running":
        return after(await timed(await redis.lrange(keyOf("active"), -mostListed, -1), "processedOn"), position, limit)
      case "Blocked":
        return []
      case "Delayed":
        return sorted("delayed", position, limit)
      case "Dead":
        return sorted("failed", position, limit)
    }
  }

  const list = async (state: JobState, position: Option.Option<Position>, limit: number, now: number) => {
    const found = await positions(state, position, limit)
    const jobs = await Promise.all(found.map(({ key }) => toStoredJob(key, state, now)))
    // A job that is gone by now leaves its place to no other: the page is shorter.
    const entries = found.map((position, n) => ({ job: jobs[n], position: formatPosition(position) }))
    const { jobs: page, next } = toPage(entries as ReadonlyArray<{ job: StoredJob; position: string }>, limit)
    return { jobs: page.filter((job) => job !== undefined), next }
  }

  const depth = async () => {
    const [[wait, prioritized, delayed, active, failed], setAside, [oldest], [oldestOrphan]] = await Promise.all([
      backend.getCounts(["wait", "prioritized", "delayed", "active", "failed"]),
      redis.llen(keyOf(orphans)),
      redis.lrange(keyOf("wait"), -1, -1),
      redis.lrange(keyOf(orphans), 0, 0)
    ])
    const ids = [oldest, oldestOrphan].filter((id) => id !== undefined)
    const waiting = await Promise.all(ids.map((id) => toStoredJob(id, "Waiting", 0)))
    const since = waiting.flatMap((job) => job === undefined ? [] : [DateTime.toEpochMillis(job.dueAt)])
    const exactly = (count = 0) => ({ count, estimated: false })
    return {
      jobs: {
        Waiting: exactly(wait! + prioritized! + setAside),
        Delayed: exactly(delayed),
        Blocked: exactly(0),
        Running: exactly(active),
        Dead: exactly(failed)
      },
      oldest: since.length === 0 ? Option.none() : Option.some(DateTime.unsafeMake(Math.min(...since)))
    }
  }

  return {
    find: (id) =>
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now) => Effect.map(send("find", () => find(id, now)), Option.fromNullable)
      ),
    list: ({ after, limit, state }) =>
      Effect.flatMap(
        parsePosition(name, after),
        (position) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => send("list", () => list(state, position, limit, now)))
      ),
    listLimits: { Waiting: mostListed, Delayed: Infinity, Blocked: Infinity, Running: mostListed, Dead: Infinity },
    depth: send("depth", depth)
  }
}
