// Processes that die, or are frozen, inside the transaction of `complete`.
import { assert, describe, it, onTestFinished } from "vitest"
import { describePostgres } from "../kit/postgres.js"
import { runFixture } from "../kit/programs.js"
import { poll } from "../kit/until.js"

const timeout = 120_000

describe("the job of a process that stops inside its transaction runs elsewhere when its lease is over", () => {
  describePostgres("on PostgreSQL", (postgres) => {
    const start = (NAME: string, HANGS = "") => {
      const child = runFixture("jobs/completing.ts", { DATABASE_URL: postgres.url, NAME, HANGS })
      onTestFinished(() => child.end())
      return child
    }
    /** Offers a job whose first run hangs, and runs a second process beside it. */
    const twoProcesses = async (hangs: string) => {
      await postgres.query("DROP TABLE IF EXISTS completed; CREATE TABLE completed (name text)")
      const one = start("one", hangs)
      const offer = () =>
        postgres.query(
          `INSERT INTO lastcall_jobs (queue, id, payload, due_at) VALUES ('completing', '${hangs}', '1', now())`
        )
      await poll("the table is there", () => offer().catch(() => undefined))
      await one.waitFor(/writes/)
      return { one, other: start("other") }
    }
    /** The process whose job hangs, after it was frozen until the other one had run the job. */
    const frozenMeanwhile = async (hangs: string) => {
      const { one, other } = await twoProcesses(hangs)
      one.kill("SIGSTOP")
      await other.waitFor(/event Succeeded/)
      one.kill("SIGUSR2")
      one.kill("SIGCONT")
      return one
    }
    const completed = async () => (await postgres.query("SELECT name FROM completed")).map(({ name }) => name)

    it("when it is killed, and the server still runs its statement", async () => {
      const { one, other } = await twoProcesses("in a statement")
      const sleeps = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'"
      await poll("the statement runs", async () => (await postgres.query(sleeps)).length === 1 || undefined)
      one.kill("SIGKILL")
      await other.waitFor(/event Succeeded/)
      assert.strictEqual((await postgres.query(sleeps)).length, 1)
      assert.deepStrictEqual(await completed(), ["other", "other"])
      await postgres.query(sleeps.replace("pid", "pg_terminate_backend(pid)"))
    }, timeout)

    it("when it is frozen between its settlement and the COMMIT of a transaction around it", async () => {
      const one = await frozenMeanwhile("after its settlement")
      await one.waitFor(/event (LeaseLost|Failed|Retried)/)
      assert.deepStrictEqual(await completed(), ["other", "other"])
    }, timeout)

    it("when it is frozen between two statements, and its writes are rolled back when it goes on", async () => {
      const one = await frozenMeanwhile("between statements")
      await one.waitFor(/event LeaseLost/)
      assert.deepStrictEqual(await completed(), ["other", "other"])
    }, timeout)
  })
})
