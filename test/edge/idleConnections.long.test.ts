// Stops a service with ten thousand idle connections.
import { execFileSync } from "node:child_process"
import * as Net from "node:net"
import { assert, it } from "vitest"
import { startService } from "./trafficWorld.js"

/** Ten thousand, or as many as this process may open. */
const count = Math.min(10_000, Number(execFileSync("sh", ["-c", "ulimit -n"], { encoding: "utf8" })) - 500 || 10_000)

/** Opens a connection that has had a response. `reset` says, once it is closed, whether it was reset. */
const open = (port: number) =>
  new Promise<{ readonly reset: Promise<boolean> }>((resolve, reject) => {
    const socket = Net.connect(port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nHost: service\r\n\r\n"))
    const reset = new Promise<boolean>((resolve) => socket.once("close", resolve))
    socket.once("error", reject).once("data", () => resolve({ reset }))
  })

it(`${count} idle connections are closed, none of them reset, and the service ends`, async () => {
  const { accepted, child, port } = await startService()
  try {
    const connections: Array<{ readonly reset: Promise<boolean> }> = []
    while (connections.length < count) {
      const some = Math.min(100, count - connections.length)
      connections.push(...await Promise.all(Array.from({ length: some }, () => open(port))))
    }
    child.kill("SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 0, signal: null }, child.output)
    assert.isFalse((await Promise.all(connections.map(({ reset }) => reset))).includes(true))
    assert.strictEqual(accepted(), count)
  } finally {
    await child.end()
  }
})
