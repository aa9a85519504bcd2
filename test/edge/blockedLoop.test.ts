// Jobs that block the event loop of their process for longer than their lease.
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, it, onTestFinished } from "vitest"
import { describePostgres } from "../kit/postgres.js"
import { runFixture } from "../kit/programs.js"
import { temporaryFolder } from "../kit/temporaryFolder.js"

const timeout = 180_000

const start = (env: Record<string, string>) => {
  const child = runFixture("jobs/blocking.ts", env)
  onTestFinished(() => child.end())
  return child
}
const runs = (output: string) => output.match(/^blocks$/gm)?.length ?? 0

describePostgres("a job that blocks the event loop for three leases, with renewWhileBlocked", (postgres) => {
  it("is completed, once, while another process waits for jobs", async () => {
    const env = { DATABASE_URL: postgres.url, BLOCKS: "15000" }
    const processes = [start(env), start(env)]
    await Promise.all(processes.map((child) => child.waitFor(/running; stops within/)))
    const client = start({ ...env, OFFERS: "a" })
    const all = [...processes, client]
    await Promise.race(all.map((child) => child.waitFor(/event (Succeeded|LeaseLost)/)))
    const output = all.map(({ output }) => output).join("")
    assert.include(output, "event Succeeded", output)
    assert.notInclude(output, "Leases expired")
    assert.strictEqual(runs(output), 1)
  }, timeout)

  it("runs elsewhere when its process is frozen meanwhile, which is refused when it goes on", async () => {
    const env = { DATABASE_URL: postgres.url }
    const file = Path.join(temporaryFolder(), "go")
    const one = start({ ...env, OFFERS: "b", UNTIL: file })
    await one.waitFor(/^blocks$/m)
    one.kill("SIGSTOP")
    const other = start(env)
    await other.waitFor(/event Succeeded/)
    Fs.writeFileSync(file, "")
    one.kill("SIGCONT")
    await one.waitFor(/event LeaseLost/)
    assert.notInclude(one.output, "event Succeeded")
  }, timeout)
})
