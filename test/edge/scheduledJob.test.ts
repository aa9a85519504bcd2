// Scheduled jobs in several processes that are stopped and killed, over one PostgreSQL.
import { afterEach, assert, beforeAll, it } from "vitest"
import { Child } from "../kit/child.js"
import { long } from "../kit/long.js"
import { describePostgres, type Postgres } from "../kit/postgres.js"
import { bundle } from "../kit/programs.js"
import { poll } from "../kit/until.js"

const fixture = bundle("test/fixtures/jobs/scheduled.ts")
const children: Array<Child> = []
afterEach(() => Promise.all(children.splice(0).map((child) => child.end())))

const start = ({ url }: Postgres, schedules: ReadonlyArray<Record<string, unknown>>) => {
  const child = new Child(process.execPath, [fixture], { DATABASE_URL: url, SCHEDULES: JSON.stringify(schedules) })
  children.push(child)
  return child
}

const stop = async (child: Child) => {
  // Before that it ends as any process does.
  await child.waitFor(/running/)
  child.kill("SIGTERM")
  const { code } = await child.ended
  assert.strictEqual(code, 0, child.output)
}

/** The ticks that were run, in seconds since the epoch, in order; one that was run twice is there twice. */
const ticksOf = async ({ query }: Postgres, job: string): Promise<ReadonlyArray<number>> => {
  const rows = await query(`SELECT extract(epoch FROM tick)::int AS tick FROM runs WHERE job = '${job}' ORDER BY tick`)
  return (rows as ReadonlyArray<{ readonly tick: number }>).map(({ tick }) => tick)
}

const until = (time: number) => new Promise((resolve) => setTimeout(resolve, Math.max(0, time - Date.now())))

const createTable = "CREATE TABLE runs (job text NOT NULL, tick timestamptz NOT NULL, process int NOT NULL)"

describePostgres(
  "a job that is scheduled for each second, in three processes that are stopped and killed",
  (postgres) => {
    beforeAll(() => postgres.query(createTable))

    it("is run exactly once for each tick, in order", async () => {
      const schedules = [{ name: "fast", schedule: "1 second", missed: "all", overlap: "queue" }]
      const processes = [0, 1, 2].map(() => start(postgres, schedules))
      const [first] = await poll("the first run", async () => {
        const ticks = await ticksOf(postgres, "fast")
        return ticks.length > 0 ? ticks : undefined
      })
      const rounds = long ? 24 : 8
      for (let round = 0; round < rounds; round++) {
        // A prime number of milliseconds, so that each round meets another part of a second.
        await until(Date.now() + 2_477)
        const which = round % processes.length
        if (round % 2 === 0) {
          processes[which]!.kill("SIGKILL")
          await processes[which]!.ended
        } else {
          await stop(processes[which]!)
        }
        processes[which] = start(postgres, schedules)
      }
      const end = Math.floor(Date.now() / 1000)
      await poll("all ticks up to the end", async () => (await ticksOf(postgres, "fast")).at(-1)! >= end || undefined)
      await Promise.all(processes.map(stop))
      const ticks = await ticksOf(postgres, "fast")
      assert.deepStrictEqual(ticks, Array.from({ length: ticks.length }, (_, n) => first! + n))
      assert.isAtLeast(ticks.length, rounds * 2)
      assert.deepStrictEqual(await postgres.query("SELECT id FROM lastcall_jobs WHERE state = 'dead'"), [])
      const used = await postgres.query("SELECT DISTINCT process FROM runs")
      assert.isAbove(used.length, 1)
    }, 150_000)
  }
)

describePostgres("scheduled jobs whose only process is down for some ticks", (postgres) => {
  beforeAll(() => postgres.query(createTable))

  it("make up for none, for the last, or for all of them", async () => {
    const every = 8
    const schedules = ["skip", "once", "all"].map((missed) => ({
      name: missed,
      missed,
      missedAfter: "2 seconds",
      schedule: `${every} seconds`
    }))
    const runs = () => Promise.all(schedules.map(({ name }) => ticksOf(postgres, name)))
    /** Waits until all of them have run the same tick last, after this one. */
    const runAfter = (tick: number) =>
      poll(`runs after ${tick}`, async () => {
        const [last, ...others] = new Set((await runs()).map((ticks) => ticks.at(-1)))
        return others.length === 0 && last !== undefined && last > tick ? last : undefined
      })
    const began = start(postgres, schedules)
    const last = await runAfter(0)
    await stop(began)
    const before = await runs()
    await until((last + 2 * every + 3) * 1000)
    const again = start(postgres, schedules)
    await again.waitFor(/running/)
    const running = Date.now()
    const end = await runAfter(last + 2 * every)
    await stop(again)
    const [skip, once, all] = (await runs()).map((ticks, index) =>
      ticks.slice(before[index]!.length).filter((tick) => tick <= end)
    )
    const from = (tick: number) => Array.from({ length: (end - tick) / every + 1 }, (_, n) => tick + n * every)
    assert.deepStrictEqual(all, from(last + every))
    // On a busy machine a tick may be reached later than `missedAfter`: then it is missed, too.
    assert.isAtLeast(skip![0]!, last + 3 * every)
    assert.includeMembers(all!, skip!)
    assert.includeMembers(all!, once!)
    // A start that takes until the next tick makes up for that, which is the last then.
    const lastMissed = running < (last + 3 * every) * 1000 ? [last + 2 * every] : [last + 2 * every, last + 3 * every]
    assert.include(lastMissed, once![0])
  }, 120_000)
})
