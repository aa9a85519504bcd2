import { Context, Effect, Layer, Redacted } from "effect"
import { JobSource } from "../../../../src/layers/jobs/JobSource.js"
import * as JobSourceRedis from "../../../../src/layers/jobs/redis/JobSourceRedis.js"
import { newPrefix, type RedisPlace } from "../../../kit/redis.js"

/** Polls once an hour, so only a message wakes a pool. */
const withoutPolling = { expireEvery: "20 millis", pollInterval: "1 hour" } as const

/** The source of one process. */
export const source = (redis: RedisPlace, options: Omit<JobSourceRedis.Options, "url">) =>
  Effect.map(
    Layer.build(JobSourceRedis.layer({ url: Redacted.make(redis.url), ...withoutPolling, ...options })),
    Context.get(JobSource)
  )

/** A new queue, opened by two processes. */
export const twoProcesses = (redis: RedisPlace, options: Omit<JobSourceRedis.Options, "url"> = {}) =>
  Effect.gen(function*() {
    const prefix = newPrefix()
    const open = Effect.flatMap(source(redis, { prefix, ...options }), (source) => source.open({ name: "queue" }))
    return { one: yield* open, other: yield* open, prefix }
  })
