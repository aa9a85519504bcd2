import { Context, Effect, Layer, Redacted } from "effect"
import { JobCarrier } from "../../../../src/layers/jobs/JobCarrier.js"
import * as JobCarrierRedis from "../../../../src/layers/jobs/redis/JobCarrierRedis.js"
import type { RedisPlace } from "../../../kit/redis.js"

/** The carrier of one process. It polls once an hour, so only a message wakes it. */
export const carrier = (redis: RedisPlace, options: Omit<JobCarrierRedis.Options, "url">) =>
  Effect.map(
    Layer.build(
      JobCarrierRedis.layer({
        url: Redacted.make(redis.url),
        redeliverAfter: "1 second",
        pollInterval: "1 hour",
        ...options
      })
    ),
    Context.get(JobCarrier)
  )
