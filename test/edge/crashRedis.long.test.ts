// The crash test with Redis as the carrier of the jobs, which is killed and emptied meanwhile.
import { assert } from "vitest"
import { describePostgres } from "../kit/postgres.js"
import { describeRedisServer } from "../kit/redis.js"
import { it } from "../kit/service.js"
import { poll } from "../kit/until.js"
import { crashes, crashRepeatedly, csv, loadedIn, timeout, twoLoading, verify } from "./crashWorld.js"

const rows = 50_000
const file = csv(rows)

describeRedisServer("processes that are stopped or killed, with a Redis that is killed and emptied", (redis) => {
  describePostgres("on PostgreSQL and Redis, two at a time", (postgres) => {
    it(
      `${rows} rows of each of two files are loaded once each, and no job is left`,
      async ({ start }) => {
        const env = { DATABASE_URL: postgres.url, JOBS_URL: redis.url }
        const { ids, services } = await twoLoading(() => start(env), file)
        const loaded = loadedIn(postgres)
        const runs = services.map((service, index) => {
          const moments = crashes(`process ${index + 1}`, { rows: 2 * rows, sigterm: 2, sigkill: 1 })
          return crashRepeatedly(() => start(env), 2 * rows, moments, service, loaded)
        })
        const accidents = async () => {
          await poll("a third is loaded", async () => await loaded() > 0.7 * rows || undefined)
          await redis.kill()
          await redis.start()
          await poll("two thirds are loaded", async () => await loaded() > 1.3 * rows || undefined)
          // Redis restarts without its data.
          await redis.wipe()
        }
        const [{ service }] = await Promise.all([runs[0]!, runs[1]!, accidents()])
        for (const id of ids) {
          await service.api.completed(id, timeout)
          await verify(service.api, id, rows)
        }
        assert.deepStrictEqual(await postgres.query("SELECT * FROM lastcall_jobs WHERE state <> 'done'"), [])
      },
      timeout
    )
  })
})
