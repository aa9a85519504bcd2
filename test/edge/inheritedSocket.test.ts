// A service whose socket belongs to its parent process, as under systemd, so that it outlives each process.
import { afterEach, assert, describe, it } from "vitest"
import { bindSocket, type BoundSocket } from "../kit/boundSocket.js"
import { Child } from "../kit/child.js"
import { long } from "../kit/long.js"
import { bundle } from "../kit/programs.js"
import { Traffic } from "../kit/traffic.js"

const program = bundle("test/fixtures/traffic/service.ts")
const responses = long ? 10_000 : 300
const restarts = long ? 10 : 2

const sockets: Array<BoundSocket> = []
const children: Array<Child> = []

const bind = () => {
  const socket = bindSocket()
  sockets.push(socket)
  return socket
}

afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => child.end()))
  sockets.splice(0).forEach((socket) => socket.close())
})

/** The service, with these file descriptors from 3 up. `$$` in the environment is its process. */
const start = (env: Record<string, string>, inherited: ReadonlyArray<number>) => {
  const words = Object.entries(env).map(([name, value]) => `${name}="${value}"`).join(" ")
  const command = `${words} exec "${process.execPath}" "${program}"`
  const child = new Child("/bin/sh", ["-c", command], {}, undefined, "ignore", inherited)
  children.push(child)
  return child
}

const startReady = async (env: Record<string, string>, inherited: ReadonlyArray<number>) => {
  const child = start(env, inherited)
  const [, address] = await child.waitFor(/listening on (\S+)/)
  await child.waitFor(/running; stops within/)
  return { child, address }
}

const stop = async (child: Child) => {
  child.kill("SIGTERM")
  assert.deepStrictEqual(await child.ended, { code: 0, signal: null }, child.output)
}

describe("a service with an inherited socket", () => {
  const environments = {
    "by its number": { FD: "3" },
    "of systemd": { LISTEN_FDS: "1", LISTEN_PID: "$$" }
  }
  for (const [name, env] of Object.entries(environments)) {
    it(`${name} logs its address, and fails no request in restarts with an overlap and with a gap`, async () => {
      const { fd, port } = bind()
      const { address, child: first } = await startReady(env, [fd])
      let child = first
      assert.strictEqual(address, `http://127.0.0.1:${port}`)
      const all = [
        new Traffic(port, 20, { think: 5, path: "/?ms=2" }),
        new Traffic(port, 10, { think: 5, fresh: true })
      ]
      const flow = () => Promise.all(all.map((traffic) => traffic.flows(responses / restarts / all.length)))
      for (let restart = 0; restart < restarts; restart++) {
        await flow()
        const overlap = restart % 2 === 0
        if (overlap) {
          const next = await startReady(env, [fd])
          await stop(child)
          child = next.child
        } else {
          await stop(child)
          child = (await startReady(env, [fd])).child
        }
      }
      await flow()
      const tallies = await Promise.all(all.map((traffic) => traffic.stop()))
      const failures = tallies.flatMap(({ dropped, droppedOnNew, failed }) => [...dropped, ...droppedOnNew, ...failed])
      assert.deepStrictEqual(failures, [])
    })
  }

  it("chooses among several sockets of systemd by name", async () => {
    const [admin, web] = [bind(), bind()]
    const env = { LISTEN_FDS: "2", LISTEN_PID: "$$", LISTEN_FDNAMES: "admin:web", SOCKET_NAME: "web" }
    const { address } = await startReady(env, [admin.fd, web.fd])
    assert.strictEqual(address, `http://127.0.0.1:${web.port}`)
  })

  it("listens on its own port when systemd passed no socket, or passed it to another process", async () => {
    const none = await startReady({ SOCKET_NAME: "web" }, [])
    assert.match(none.address!, /^http:\/\/127\.0\.0\.1:\d+$/)
    const other = await startReady({ LISTEN_FDS: "1", LISTEN_PID: "1" }, [])
    assert.match(other.address!, /^http:\/\/127\.0\.0\.1:\d+$/)
    assert.match(other.child.output, /systemd passed its sockets to process 1, this is process \d+/)
  })

  const refused = async (env: Record<string, string>, inherited: ReadonlyArray<number>) => {
    const child = start(env, inherited)
    assert.deepStrictEqual(await child.ended, { code: 1, signal: null }, child.output)
    return child.output.split("\n").filter((line) => line.includes("Cannot listen")).map((line) =>
      line.slice(line.indexOf("Cannot listen"))
    )
  }

  it("is refused in one line that says which socket is wrong, and how", async () => {
    const advice = "it is not a socket that this process has inherited. Have the parent process bind it, and pass it " +
      "under this number, from 3 up."
    const [first, second] = [bind(), bind()]
    const activated = { LISTEN_FDS: "2", LISTEN_PID: "$$", LISTEN_FDNAMES: "admin:web" }
    assert.deepStrictEqual(
      [
        await refused({ FD: "99" }, []),
        await refused({ FD: "1" }, []),
        await refused({ ...activated, SOCKET_NAME: "api" }, [first.fd, second.fd]),
        await refused(activated, [first.fd, second.fd]),
        await refused({ LISTEN_FDS: "one", LISTEN_PID: "$$" }, [])
      ].map((lines) => lines.join("\n")),
      [
        `Cannot listen on file descriptor 99: ${advice}`,
        `Cannot listen on file descriptor 1: ${advice}`,
        "Cannot listen on the socket of systemd: none has the name \"api\" (LISTEN_FDS=2, LISTEN_FDNAMES=admin:web)",
        "Cannot listen on the socket of systemd: there are 2. Choose one by its name: socketActivation: \"name\" " +
        "(LISTEN_FDS=2, LISTEN_FDNAMES=admin:web)",
        "Cannot listen on the socket of systemd: LISTEN_FDS: Expected an integer value but received \"one\""
      ]
    )
  })

  it("serves one app, because it is closed with it", async () => {
    const args = [bundle("test/fixtures/http/servedAgain.ts")]
    const child = new Child(process.execPath, args, {}, undefined, "ignore", [bind().fd])
    assert.deepStrictEqual(await child.ended, { code: 1, signal: null })
    assert.include(child.output, "An inherited socket is closed with the app that it served. Serve one app on it.")
  })
})
