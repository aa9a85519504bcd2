import { afterAll, beforeAll, describe } from "vitest"
import { cannot } from "./cannot.js"
import { hasRedis, type RedisPlace, type RedisServer, ThrowawayRedis } from "./redisServer.js"

export type { RedisPlace, RedisServer }

const nothing = "there is no Redis here: install redis-server, or set TEST_REDIS_URL"

/**
 * `describe` over Redis: the server at `TEST_REDIS_URL` where that is set, or else one that is started for this file and
 * removed after it. Without either it says so.
 */
export const describeRedis = (name: string, body: (redis: RedisPlace) => void): void => {
  const given = process.env["TEST_REDIS_URL"]
  if (given !== undefined && given !== "") describe(name, () => body({ url: given }))
  else describeRedisServer(name, body)
}

/** The same over a server of the file's own, which can be stopped, killed and frozen. */
export const describeRedisServer = (name: string, body: (server: RedisServer) => void): void => {
  if (!hasRedis()) return cannot(name, nothing)
  describe(name, () => {
    const server = new ThrowawayRedis()
    beforeAll(() => server.create(), 60_000)
    afterAll(() => server.remove(), 60_000)
    body(server)
  })
}
