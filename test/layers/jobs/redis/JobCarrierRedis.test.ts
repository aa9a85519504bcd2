import { describe } from "@effect/vitest"
import { Queue } from "bullmq"
import { Effect } from "effect"
import { Redis } from "ioredis"
import { jobCarrierConformance } from "../../../conformance/jobCarrier.js"
import { makeMemoryCarrier } from "../../../kit/memoryCarrier.js"
import { describeRedis, newPrefix } from "../../../kit/redis.js"
import { carrier } from "./JobCarrierRedisWorld.js"

describeRedis("JobCarrierRedis", (redis) =>
  jobCarrierConformance(
    "Redis",
    Effect.gen(function*() {
      const prefix = newPrefix()
      const client = yield* Effect.acquireRelease(
        Effect.sync(() => new Redis(redis.url)),
        (client) => Effect.sync(() => client.disconnect())
      )
      return {
        carriers: [yield* carrier(redis, { prefix }), yield* carrier(redis, { prefix })],
        loseData: () =>
          Effect.promise(async () => {
            for (const key of await client.keys(`${prefix}:*`)) await client.del(key)
          }),
        add: (name, payload) =>
          Effect.promise(async () => {
            const queue = new Queue(name, { connection: client, prefix })
            const { id } = await queue.add("mail", payload)
            await queue.close()
            return id!
          })
      }
    })
  ))

describe("the carrier in memory, which the tests of the ledger use,", () =>
  jobCarrierConformance(
    "memory",
    Effect.sync(() => {
      const memory = makeMemoryCarrier("1 second")
      return {
        carriers: [memory, memory],
        loseData: () => memory.loseData,
        add: (queue, payload) => Effect.as(memory.add(queue, "theirs", payload), "theirs")
      }
    })
  ))
