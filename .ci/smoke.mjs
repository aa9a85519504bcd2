// Runs the reference service once: node .ci/smoke.mjs <main.mjs>. In the working directory, with an embedded database.
// The service must start, load a file, and exit with 0 on SIGTERM, within a minute in all.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createServer } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"

const freePort = async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address()
  server.close()
  await once(server, "close")
  return port
}

const main = process.argv[2]
if (main === undefined) throw new Error("usage: node .ci/smoke.mjs <main.mjs>")
const port = await freePort()
const url = `http://127.0.0.1:${port}`
const env = { PATH: process.env.PATH, HOME: process.env.HOME, NODE_ENV: "production", PORT: String(port) }
const service = spawn(process.execPath, [main], { env, stdio: "inherit" })
const exit = once(service, "exit")
const timeout = setTimeout(() => service.kill("SIGKILL"), 60_000)

const until = async (what, attempt) => {
  while (service.exitCode === null && service.signalCode === null) {
    const result = await attempt().catch(() => undefined)
    if (result !== undefined) return result
    await sleep(100)
  }
  throw new Error(`the service ended before ${what}`)
}

try {
  await until("it was ready", async () => (await fetch(`${url}/readyz`)).ok ? true : undefined)
  const upload = await fetch(`${url}/imports`, {
    method: "POST",
    headers: { "content-type": "text/csv", "idempotency-key": "smoke" },
    body: "id,name\n1,\"Ada, Countess\"\n2,Grace\n"
  })
  if (upload.status !== 202) throw new Error(`the upload was answered ${upload.status}: ${await upload.text()}`)
  const location = new URL(upload.headers.get("location"), url)
  const done = await until("the import was completed", async () => {
    const body = await (await fetch(location)).json()
    return ["Completed", "Failed"].includes(body.status) ? body : undefined
  })
  if (done.status !== "Completed" || done.rowsLoaded !== 2) {
    throw new Error(`the import ended as ${JSON.stringify(done)}`)
  }
  service.kill("SIGTERM")
  const [code, signal] = await exit
  if (code !== 0) throw new Error(`the service ended with ${signal ?? code}`)
  console.log("started, loaded 2 rows, ended with 0")
} finally {
  clearTimeout(timeout)
  service.kill("SIGKILL")
}
