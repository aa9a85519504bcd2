// `npm start` in a terminal, ended by Ctrl+C.
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, test, vi } from "vitest"
import { databaseFolder } from "../kit/pglite.js"
import { describeTerminal, Pty } from "../kit/pty.js"
import { Api, installed, readReport } from "../kit/service.js"
import { slowUpload } from "./clients.js"
import { columns, csv, verify } from "./crashWorld.js"

vi.setConfig({ testTimeout: 120_000 })

class NpmStart extends Pty {
  constructor(readonly folder: string) {
    super("npm start", { PORT: "0", SHUTDOWN_REPORT: "report.json", npm_config_update_notifier: "false" }, folder)
  }

  readonly api = new Api(async (path) => (await this.shows(/listening on (http:\/\/[\w.:-]+)/))[1]! + path)
  report = () => readReport(this.folder)

  /** Waits until npm has ended, and asserts that no process is left. The exit code is npm's own choice. */
  async isGone() {
    await this.ended
    assert.deepStrictEqual(this.processes(), [])
    assert.notInclude(this.text, "npm error")
  }
}

/** A folder with an embedded database, so that the test does not wait for its creation. */
const prepared = async () => {
  const folder = installed()
  Fs.renameSync(await databaseFolder(), Path.join(folder, "data"))
  return folder
}

const it = test.extend<{ readonly npmStart: (folder?: string) => Promise<NpmStart> }>({
  npmStart: async ({}, use) => {
    const started: Array<NpmStart> = []
    await use(async (folder) => {
      const npm = new NpmStart(folder ?? await prepared())
      started.push(npm)
      await npm.shows(/running; stops within/)
      assert.isNotEmpty(npm.processes())
      return npm
    })
    await Promise.all(started.map((npm) => npm.close()))
  }
})

/** The report on the screen: the signal, a line for each resource with its time, the exit code. */
const reported = (outcomes: ReadonlyArray<string>, exit: number) =>
  new RegExp(
    [
      "SIGINT: stopped in [\\d.]+m?s of 25s.*",
      ...outcomes.map((outcome, index) => `${index === outcomes.length - 1 ? "└─" : "├─"} ${outcome}`),
      `exit ${exit}`
    ].join("\n")
  )
const drained = (name: string) => `${name} +━+ +[\\d.]+m?s +Drained.*`
const cleanup = drained("orphan-cleanup")

describe.concurrent("npm start", () =>
  describeTerminal("in a terminal", () => {
    it("Ctrl+C shows what is in flight and the time left, until the work has finished", async ({ npmStart }) => {
      const npm = await npmStart()
      const upload = await slowUpload(npm.api)
      npm.interrupt()
      const frame = [
        "SIGINT: draining, ([\\d.]+)s left .*",
        "◑ http +draining +1 in flight",
        "◔ orphan-cleanup +quiesced",
        "\\S importer +\\w+",
        "○ database +open$"
      ]
      const [, before] = await npm.shows(new RegExp(frame.join("\n +")))
      await npm.waitForValue("less time left", () => {
        const now = /draining, ([\d.]+)s left/.exec(npm.text)
        return now !== null && Number(now[1]) < Number(before) ? now : null
      })
      const answer = await upload.finish()
      assert.deepInclude({ status: answer.statusCode, connection: answer.headers.connection }, {
        status: 202,
        connection: "close"
      })
      answer.resume()
      await npm.isGone()
      assert.match(
        npm.text,
        reported([`${drained("http")} 1 finished`, cleanup, drained("importer"), drained("database")], 0)
      )
      assert.notInclude(npm.text, "in flight")
      assert.deepInclude(npm.report(), { cause: "SIGINT", expedited: false, exitCode: 0 })
    })

    it("Ctrl+C in the middle of an import hands its job back; the next start completes it", async ({ npmStart }) => {
      const rows = 20_000
      const npm = await npmStart()
      assert.match(await (await npm.api.request("/")).text(), /<html/)
      const commands = npm.processes().map((process) => process.command).join("\n")
      assert.include(commands, "npm start")
      assert.match(commands, /^node dist\/main\.js$/m)
      const { id } = await npm.api.upload(csv(rows), { columns })
      await npm.api.has(id, "some rows are loaded", ({ rowsLoaded }) => rowsLoaded > 0)
      npm.interrupt()
      await npm.isGone()
      assert.match(npm.text, reported([drained("http"), cleanup, "importer .* 1 handed back", drained("database")], 0))

      const again = await npmStart(npm.folder)
      await again.api.completed(id)
      await verify(again.api, id, rows)
      again.interrupt()
      await again.isGone()
      assert.match(again.text, reported([drained("http"), cleanup, drained("importer"), drained("database")], 0))
      assert.notMatch(again.text, /ERROR/)
    })

    it("a second Ctrl+C stops waiting: work in flight is cut, and the report counts it", async ({ npmStart }) => {
      const npm = await npmStart()
      const upload = await slowUpload(npm.api)
      const answer = upload.answer.then(({ statusCode }) => statusCode, () => "hung up")
      npm.interrupt()
      await npm.shows(/draining, 24\.[0-4]s left/)
      npm.interrupt()
      await npm.isGone()
      assert.match(
        npm.text,
        reported(["http .*Interrupted.* 1 cut(\n.*)*", drained("importer"), drained("database")], 1)
      )
      assert.deepInclude(npm.report(), { cause: "SIGINT", expedited: true, exitCode: 1 })
      assert.strictEqual(await answer, 503)
    })
  }))
