// The examples that keep what an app has: each runs as its first lines say, and ends with 0 on SIGTERM.
import { assert, describe, it } from "vitest"
import { Child } from "../kit/child.js"
import { describeKafka } from "../kit/kafka.js"
import { databaseFolder } from "../kit/pglite.js"
import { describePostgres } from "../kit/postgres.js"
import { bundle } from "../kit/programs.js"
import { describeRedisServer } from "../kit/redis.js"

const run = (example: string, env: Record<string, string>) =>
  new Child(process.execPath, [bundle(`examples/${example}.ts`)], env)

const stop = async (child: Child) => {
  child.kill("SIGTERM")
  assert.deepStrictEqual(await child.ended, { code: 0, signal: null }, child.output)
}

describe("examples/14-pg-migrator.ts", () => {
  it("runs each migration once", async () => {
    const DATABASE_URL = `pglite:${await databaseFolder()}`
    for (let start = 0; start < 2; start++) {
      const child = run("14-pg-migrator", { DATABASE_URL })
      await child.waitFor(/2 tables/)
      await stop(child)
    }
  }, 300_000)
})

describeRedisServer("examples/07-durable-jobs.ts and 10-redis-carrier.ts", (redis) => {
  it("keep their tables in one embedded database, as `./data` is", async () => {
    const env = { DATABASE_URL: `pglite:${await databaseFolder()}`, JOBS_URL: redis.url }
    for (
      const [example, line] of [["07-durable-jobs", /counted to 2/], ["10-redis-carrier", /invoice for /]] as const
    ) {
      const child = run(example, env)
      await child.waitFor(line)
      await stop(child)
    }
  }, 120_000)
})

describe("examples/16-scheduled-job.ts", () => {
  it("runs its ticks in order", async () => {
    const child = run("16-scheduled-job", { DATABASE_URL: `pglite:${await databaseFolder()}` })
    const ticks = () =>
      Array.from(child.output.matchAll(/the report of (\S+?),? attempt 1/g), ([, tick]) => Date.parse(tick!))
    await child.waitForValue("two ticks", () => ticks().length >= 2 ? true : null)
    await stop(child)
    const [first, second] = ticks()
    assert.strictEqual(second! - first!, 5_000, child.output)
  }, 300_000)
})

describe("examples/20-batches.ts", () => {
  it("sends the letters in batches, and makes dead letters of those without an address", async () => {
    const child = run("20-batches", { DATABASE_URL: `pglite:${await databaseFolder()}` })
    const sent = () => Array.from(child.output.matchAll(/sent (\d+) letters/g), ([, count]) => Number(count))
    const dead = () => child.output.match(/is moved to the dead letters after attempt 1: Error: no address/g)?.length
    await child.waitForValue(
      "117 letters that are sent, and three that are not",
      () => sent().reduce((sum, count) => sum + count, 0) === 117 && dead() === 3 ? true : null
    )
    await stop(child)
    assert.match(child.output, /letters Drained/)
  }, 300_000)
})

describePostgres("examples/19-own-client.ts", (postgres) => {
  it("runs the jobs that the app's own client has committed, and no others", async () => {
    const child = run("19-own-client", { DATABASE_URL: postgres.url })
    await child.waitFor(/mail to ada@example\.org/)
    await stop(child)
    assert.notInclude(child.output, "mail to nobody")
    const [row] = await postgres.query("SELECT count(*)::int AS people FROM people")
    assert.deepStrictEqual(row, { people: 1 })
  }, 300_000)
})

describeKafka("examples/13-kafka.ts", (kafka) => {
  it("pays for the orders that it places, and leaves the group on SIGTERM", async () => {
    const child = run("13-kafka", { KAFKA_BROKERS: kafka.brokers.join(",") })
    await child.waitFor(/paid for order \d@0 of ada/)
    await child.waitFor(/paid for order \d@0 of bob/)
    await stop(child)
    assert.match(child.output, /payments Drained/)
  }, 300_000)
})
