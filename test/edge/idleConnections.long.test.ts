// Ten thousand clients that keep a connection and ask nothing.
import { execFileSync } from "node:child_process"
import * as Net from "node:net"
import { assert, it } from "vitest"
import { startService } from "./trafficWorld.js"

/** As many as wanted, or as this process may open. */
const many = Math.min(10_000, Number(execFileSync("sh", ["-c", "ulimit -n"], { encoding: "utf8" })) - 500 || 10_000)

/** A connection that was answered; and whether it was reset when it has gone. */
const open = (port: number) =>
  new Promise<{ readonly reset: Promise<boolean> }>((resolve, reject) => {
    const socket = Net.connect(port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nHost: service\r\n\r\n"))
    const reset = new Promise<boolean>((resolve) => socket.once("close", resolve))
    socket.once("error", reject).once("data", () => resolve({ reset }))
  })

it(`${many} idle connections are closed, none of them reset, and the service ends`, async () => {
  const { child, noticed, port } = await startService()
  try {
    const connections: Array<{ readonly reset: Promise<boolean> }> = []
    while (connections.length < many) {
      const some = Math.min(100, many - connections.length)
      connections.push(...await Promise.all(Array.from({ length: some }, () => open(port))))
    }
    child.kill("SIGTERM")
    assert.deepStrictEqual(await child.ended, { code: 0, signal: null }, child.output)
    assert.isFalse((await Promise.all(connections.map(({ reset }) => reset))).includes(true))
    assert.strictEqual(noticed().accepted, many)
  } finally {
    await child.end()
  }
})
