// Jobs that block the event loop of their process for longer than their lease.
import { Redis } from "ioredis"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, beforeAll, describe, it, onTestFinished } from "vitest"
import { describePostgres } from "../kit/postgres.js"
import { runFixture } from "../kit/programs.js"
import { describeRedisServer } from "../kit/redis.js"
import { temporaryFolder } from "../kit/temporaryFolder.js"

const timeout = 180_000

const start = (env: Record<string, string>) => {
  const child = runFixture("jobs/blocking.ts", env)
  onTestFinished(() => child.end())
  return child
}
const runs = (output: string) => output.match(/^blocks$/gm)?.length ?? 0

const blocked = "a job that blocks the event loop for three leases, with renewWhileBlocked"

/** `source` is the environment that says where the jobs are. */
const renewedLeases = (source: () => Record<string, string>) => {
  it("is completed, once, while another process waits for jobs", async () => {
    const env = { ...source(), BLOCKS: "15000" }
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
    const env = source()
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

  it("runs elsewhere when its process is killed meanwhile", async () => {
    const env = source()
    const one = start({ ...env, OFFERS: "c", UNTIL: Path.join(temporaryFolder(), "never") })
    await one.waitFor(/^blocks$/m)
    const other = start(env)
    await other.waitFor(/running; stops within/)
    assert.strictEqual(runs(other.output), 0)
    one.kill("SIGKILL")
    await other.waitFor(/event Succeeded/)
  }, timeout)
}

describePostgres(blocked, (postgres) => renewedLeases(() => ({ DATABASE_URL: postgres.url })))

describeRedisServer(`${blocked}, in Redis`, (server) => {
  describe("over TLS, as a user with a password, in a database with a number", () => {
    let url = ""
    let ca = ""
    beforeAll(async () => {
      const tls = await server.serveTls()
      ca = tls.ca
      const redis = new Redis(server.url)
      await redis.call("ACL", "SETUSER", "app", "on", ">p@ss/:", "~*", "&*", "+@all")
      redis.disconnect()
      url = `rediss://app:p%40ss%2F%3A@localhost:${tls.port}/3`
    })
    renewedLeases(() => ({ JOBS_URL: url, NODE_EXTRA_CA_CERTS: ca }))
  })
})
