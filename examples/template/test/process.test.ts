// The service as a process, over an embedded database: SIGTERM while a job runs.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, onTestFinished, test, vi } from "vitest"

test("SIGTERM finishes the job in progress, and the process exits with 0", async () => {
  const folder = mkdtempSync(join(tmpdir(), "my-service-"))
  const reportFile = join(folder, "report.json")
  const service = spawn(process.execPath, ["dist/src/main.js"], {
    env: { ...process.env, PORT: "0", DATABASE_URL: `pglite:${join(folder, "data")}`, SHUTDOWN_REPORT: reportFile },
    stdio: ["ignore", "pipe", "inherit"]
  })
  const exited = once(service, "exit")
  onTestFinished(async () => {
    service.kill("SIGKILL")
    await exited
    rmSync(folder, { recursive: true, force: true })
  })

  let output = ""
  service.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk
  })
  const printed = (text: string) => vi.waitUntil(() => output.includes(text), { timeout: 60_000 })
  await printed("running; stops within")
  const url = /http:\/\/127\.0\.0\.1:\d+/.exec(output)?.[0]
  assert.isDefined(url, output)

  const response = await fetch(`${url}/orders`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ item: "tea" })
  })
  assert.strictEqual(response.status, 202)
  await printed("confirms ")
  service.kill("SIGTERM")
  assert.deepStrictEqual(await exited, [0, null])

  const report = JSON.parse(readFileSync(reportFile, "utf8"))
  assert.strictEqual(report.exitCode, 0)
  const pool = report.drains.find((drain: { name: string }) => drain.name === "confirmations")
  assert.deepInclude(pool, { outcome: "Drained", finished: 1, handedBack: 0 })
}, 120_000) // to create the embedded database takes some seconds
