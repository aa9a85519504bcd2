import { Redis } from "ioredis"
import { randomUUID } from "node:crypto"
import { afterAll, beforeAll, describe } from "vitest"
import { cannot } from "./cannot.js"
import { hasRedis, type RedisPlace, type RedisServer, ThrowawayRedis } from "./redisServer.js"

export type { RedisPlace, RedisServer }

const missing = "there is no Redis here: install redis-server, or set TEST_REDIS_URL"

/** Distinguishes these tests from others on the same server. */
const ours = `lastcall-test-${randomUUID().slice(0, 8)}`
let prefixes = 0

/** A prefix for the keys of one test. */
export const newPrefix = () => `${ours}-${++prefixes}`

/** Removes the keys of the tests from a server that the tests did not start. */
const removeOurs = async (url: string) => {
  const redis = new Redis(url)
  for await (const keys of redis.scanStream({ match: `${ours}-*`, count: 1000 })) {
    if (keys.length > 0) await redis.unlink(keys as Array<string>)
  }
  await redis.quit()
}

/**
 * `describe` over Redis: the server at `TEST_REDIS_URL` where that is set, or else one that is started for this file and
 * removed after it.
 */
export const describeRedis = (name: string, body: (redis: RedisPlace) => void): void => {
  const given = process.env["TEST_REDIS_URL"]
  if (given === undefined || given === "") return describeRedisServer(name, body)
  describe(name, () => {
    afterAll(() => removeOurs(given), 60_000)
    body({ url: given })
  })
}

/** `describe` over a server of the file's own, which can be stopped, killed and frozen. */
export const describeRedisServer = (name: string, body: (server: RedisServer) => void): void => {
  if (!hasRedis()) return cannot(name, missing)
  describe(name, () => {
    const server = new ThrowawayRedis()
    beforeAll(() => server.create(), 60_000)
    afterAll(() => server.remove(), 60_000)
    body(server)
  })
}
