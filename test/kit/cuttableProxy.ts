import * as Net from "node:net"
import { Transform } from "node:stream"

/**
 * A proxy to a port of this machine whose connections can be cut: they are closed, and new ones too, until they are
 * restored. `edit` changes what clients send.
 */
export const cuttableProxy = async (port: number, edit = (sent: string) => sent) => {
  const sockets = new Set<Net.Socket>()
  let isCut = false
  const closeAll = () => {
    for (const socket of sockets) socket.destroy()
    sockets.clear()
  }
  const server = Net.createServer((client) => {
    if (isCut) return void client.destroy()
    const behind = Net.connect(port, "127.0.0.1")
    for (const socket of [client, behind]) sockets.add(socket.setNoDelay(true).on("error", () => undefined))
    const editing = new Transform({
      transform: (chunk: Buffer, _, done) => done(null, Buffer.from(edit(chunk.toString("latin1")), "latin1"))
    })
    client.pipe(editing).pipe(behind).pipe(client)
    client.on("close", () => behind.destroy())
    behind.on("close", () => client.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    port: (server.address() as Net.AddressInfo).port,
    cut: () => {
      isCut = true
      closeAll()
    },
    restore: () => void (isCut = false),
    close: () => {
      closeAll()
      return new Promise<unknown>((resolve) => server.close(resolve))
    }
  }
}
