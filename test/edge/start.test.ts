// Starts that fail, and starts that a signal interrupts.
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { assert, describe } from "vitest"
import { long } from "../kit/long.js"
import { databaseFolder, newFolder } from "../kit/pglite.js"
import { it, type ServiceProcess } from "../kit/service.js"
import { poll } from "../kit/until.js"

/** A server that accepts connections and never sends a byte. */
const silent = async () => {
  const sockets = new Set<Net.Socket>()
  const server = Net.createServer((socket) => void sockets.add(socket.on("error", () => undefined)))
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    port: (server.address() as Net.AddressInfo).port,
    connected: () => poll("the service has connected", () => Promise.resolve(sockets.size > 0 || undefined)),
    close: () => {
      server.close()
      sockets.forEach((socket) => socket.destroy())
    }
  }
}

/** The process exits with 1, and logs one line after "listening on": the reason. */
const failsToStart = async (service: ServiceProcess, reason: RegExp) => {
  assert.deepStrictEqual(await service.ended, { code: 1, signal: null }, service.output)
  const [line, ...more] = service.lines.filter((line) => !line.includes("listening on"))
  assert.match(line ?? "nothing", /level=ERROR .*cannot start: /)
  assert.match(line!.replaceAll("\\\"", "\""), reason)
  assert.deepStrictEqual(more, [])
}

/** Invalid values of variables. The rest are in the long form, and each has a test that starts no process. */
const invalid: ReadonlyArray<readonly [variable: string, value: string, reason: RegExp]> = [
  ["PORT", "http", /PORT: Expected an integer from 0 to 65535, but received "http"/],
  [
    "DATABASE_URL",
    "mysql://me:secret@there/db",
    /DATABASE_URL: The database URL has an unknown scheme, mysql:\/\/: expected postgres:/
  ],
  ["GRACE_PERIOD", "soon", /GRACE_PERIOD: Expected a duration with its unit, .* but received "soon"/]
]

const moreInvalid: typeof invalid = [
  ["HOST", "not a host", /HOST: Expected a host name or an address, but received "not a host"/],
  ["HOST", "203.0.113.1", /Cannot listen on 203\.0\.113\.1:0: this machine has no such address/],
  ["PRE_STOP_DELAY", "1m", /leaves no time to drain: preStopDelay 1m \+ 2s kept back/],
  ["JOBS_URL", "amqp://me:secret@there", /JOBS_URL: Expected redis:\/\/user:password@host:port/],
  [
    "KAFKA_URL",
    "kafka://me:secret@there/imports",
    /KAFKA_URL: Expected kafka:\/\/user:password@host:port,host:port\/topic/
  ],
  ["WORKERS", "0", /WORKERS: Expected an integer from 1 to 64, but received "0"/]
]

describe.concurrent("a start that cannot succeed exits with 1 and logs one line with the reason:", () => {
  it("invalid values in the environment", async ({ start }) => {
    await Promise.all(
      invalid.map(([variable, value, reason]) => failsToStart(start({ [variable]: value }), reason))
    )
  })

  it("a database URL that is none, before it listens", async ({ start }) => {
    const service = start({ DATABASE_URL: "postgres://me:p@ss/word@there/db" })
    await failsToStart(service, /DATABASE_URL: The database URL has an @ behind its host/)
    assert.notInclude(service.output, "listening on")
  })

  if (long) {
    it("more invalid values in the environment", async ({ start }) => {
      for (const [variable, value, reason] of moreInvalid) {
        await failsToStart(start({ [variable]: value }), reason)
      }
    })
  }

  it("a port in use", async ({ start }) => {
    const { close, port } = await silent()
    try {
      await failsToStart(
        start({ PORT: String(port) }),
        new RegExp(`Cannot listen on 127\\.0\\.0\\.1:${port}: it is in use`)
      )
    } finally {
      close()
    }
  })

  it("an embedded database that another process has open; that process continues", async ({ start }) => {
    const DATABASE_URL = `pglite:${await databaseFolder()}`
    const first = start({ DATABASE_URL })
    await first.runs()
    await failsToStart(
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
    await failsToStart(service, new RegExp(`Cannot use PostgreSQL at 127.0.0.1:${port}, .*ECONNREFUSED`))
    assert.notInclude(service.output, "secret")
  })

  it("a database that accepts connections and never answers; meanwhile requests get 503", async ({ start }) => {
    const { connected, close, port } = await silent()
    try {
      const service = start({ DATABASE_URL: `postgres://me@127.0.0.1:${port}/db` })
      await connected()
      assert.strictEqual((await service.api.request("/livez")).status, 200)
      assert.strictEqual((await service.api.request("/readyz")).status, 503)
      const held = await service.api.request("/imports")
      assert.strictEqual(held.status, 503)
      await failsToStart(service, /Cannot use PostgreSQL at .*: .*(no answer within 5s|timeout)/)
    } finally {
      close()
    }
  })
})

describe.concurrent("a signal while it starts", () => {
  it("waits until the embedded database is created; the next start uses it", async ({ start }) => {
    const folder = newFolder()
    const first = start({ DATABASE_URL: `pglite:${folder}`, GRACE_PERIOD: "2 minutes" })
    const lock = Path.join(folder, "lastcall.lock")
    await poll("the folder is locked", () => Promise.resolve(Fs.existsSync(lock) || undefined))
    first.kill("SIGTERM")
    assert.deepStrictEqual(await first.ended, { code: 0, signal: null }, first.output)
    assert.deepInclude(first.report(), { cause: "SIGTERM", from: "Starting", exitCode: 0 })
    assert.isFalse(Fs.existsSync(lock))
    const second = start({ DATABASE_URL: `pglite:${folder}` })
    await second.runs()
  })

  it("does not wait for a database that never answers; a report that cannot be written is logged", async ({ start }) => {
    const { connected, close, port } = await silent()
    try {
      const SHUTDOWN_REPORT = "/nowhere/report.json"
      const service = start({ DATABASE_URL: `postgres://me@127.0.0.1:${port}/db`, SHUTDOWN_REPORT })
      await connected()
      service.kill("SIGTERM")
      assert.deepStrictEqual(await service.ended, { code: 0, signal: null }, service.output)
      assert.notInclude(service.output, "cannot start")
      assert.match(service.output, /level=ERROR .*cannot write the report to \/nowhere\/report\.json/)
    } finally {
      close()
    }
  })
})
