// Starts that cannot succeed, and starts that are called off.
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { assert, describe } from "vitest"
import { databaseFolder, newFolder } from "../kit/pglite.js"
import { it } from "../kit/service.js"
import { poll } from "../kit/until.js"
import { refused } from "./endings.js"

/** A server that accepts connections and never says a word. */
const silent = async () => {
  const sockets = new Set<Net.Socket>()
  const server = Net.createServer((socket) => void sockets.add(socket.on("error", () => undefined)))
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    port: (server.address() as Net.AddressInfo).port,
    asked: () => poll("somebody has connected", () => Promise.resolve(sockets.size > 0 || undefined)),
    close: () => {
      server.close()
      sockets.forEach((socket) => socket.destroy())
    }
  }
}

/** Each of the others has a test that starts no process, and one in the long form. */
const nonsense = [
  ["PORT", "http", /PORT: Expected an integer from 0 to 65535, but received "http"/],
  [
    "DATABASE_URL",
    "mysql://me:secret@there/db",
    /DATABASE_URL: The database URL has an unknown scheme, mysql:\/\/: expected postgres:/
  ],
  ["GRACE_PERIOD", "soon", /GRACE_PERIOD: Expected a duration with its unit, .* but received "soon"/]
] as const

describe.concurrent("a start that cannot succeed ends with 1 and one line that says why:", () => {
  it("nonsense in any variable of the environment", async ({ start }) => {
    await Promise.all(nonsense.map(([variable, value, why]) => refused(start({ [variable]: value }), why)))
  })

  it("a port in use", async ({ start }) => {
    const { close, port } = await silent()
    try {
      await refused(start({ PORT: String(port) }), new RegExp(`Cannot listen on 127\\.0\\.0\\.1:${port}: it is in use`))
    } finally {
      close()
    }
  })

  it("an embedded database that another process has open; that one goes on", async ({ start }) => {
    const DATABASE_URL = `pglite:${await databaseFolder()}`
    const first = start({ DATABASE_URL })
    await first.runs()
    await refused(
      start({ DATABASE_URL }),
      new RegExp(`database folder \\S+ is in use by process ${first.process.pid} `)
    )
    assert.deepStrictEqual((await first.api.json<{ imports: ReadonlyArray<unknown> }>("/imports")).imports, [])
    first.kill("SIGTERM")
    assert.deepStrictEqual(await first.ended, { code: 0, signal: null })
  })

  it("a database that refuses connections, without its password", async ({ start }) => {
    const { close, port } = await silent()
    close()
    const service = start({ DATABASE_URL: `postgres://me:secret@127.0.0.1:${port}/db` })
    await refused(service, new RegExp(`Cannot use PostgreSQL at 127.0.0.1:${port}, .*ECONNREFUSED`))
    assert.notInclude(service.output, "secret")
  })

  it("a database that accepts connections and never answers; who waits for the service is told", async ({ start }) => {
    const { asked, close, port } = await silent()
    try {
      const service = start({ DATABASE_URL: `postgres://me@127.0.0.1:${port}/db` })
      await asked()
      assert.strictEqual((await service.api.request("/livez")).status, 200)
      assert.strictEqual((await service.api.request("/readyz")).status, 503)
      const held = await service.api.request("/imports")
      assert.strictEqual(held.status, 503)
      await refused(service, /Cannot use PostgreSQL at .*: .*(no answer within 5s|timeout)/)
    } finally {
      close()
    }
  })
})

describe.concurrent("a signal while it starts", () => {
  it("lets the embedded database be made first; the next start finds it in order", async ({ start }) => {
    const folder = newFolder()
    const first = start({ DATABASE_URL: `pglite:${folder}`, GRACE_PERIOD: "2 minutes" })
    const lock = Path.join(folder, "lastcall.lock")
    await poll("the folder is taken", () => Promise.resolve(Fs.existsSync(lock) || undefined))
    first.kill("SIGTERM")
    assert.deepStrictEqual(await first.ended, { code: 0, signal: null }, first.output)
    assert.deepInclude(first.report(), { cause: "SIGTERM", from: "Starting", exitCode: 0 })
    assert.isFalse(Fs.existsSync(lock))
    const second = start({ DATABASE_URL: `pglite:${folder}` })
    await second.runs()
  })

  it("does not wait for a database that never answers, and a report that cannot be written is said", async ({ start }) => {
    const { asked, close, port } = await silent()
    try {
      const SHUTDOWN_REPORT = "/nowhere/report.json"
      const service = start({ DATABASE_URL: `postgres://me@127.0.0.1:${port}/db`, SHUTDOWN_REPORT })
      await asked()
      service.kill("SIGTERM")
      assert.deepStrictEqual(await service.ended, { code: 0, signal: null }, service.output)
      assert.notInclude(service.output, "cannot start")
      assert.match(service.output, /level=ERROR .*cannot write the report to \/nowhere\/report\.json/)
    } finally {
      close()
    }
  })
})
