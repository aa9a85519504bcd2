import * as Net from "node:net"
import { Transform } from "node:stream"

/**
 * A proxy to a port of this machine whose connections can be cut: they are closed, and new ones too, until they are
 * restored. `edit` changes what clients send. To the server the end of a client is a reset, which a server sees that does not read.
 */
export const cuttableProxy = async (port: number, edit = (sent: string) => sent) => {
  const clients = new Set<Net.Socket>()
  let isCut = false
  const closeAll = () => {
    for (const client of clients) client.destroy()
  }
  const server = Net.createServer((client) => {
    if (isCut) return void client.destroy()
    const behind = Net.connect(port, "127.0.0.1")
    for (const socket of [client, behind]) socket.setNoDelay(true).on("error", () => undefined)
    clients.add(client)
    const editing = new Transform({
      transform: (chunk: Buffer, _, done) => done(null, Buffer.from(edit(chunk.toString("latin1")), "latin1"))
    })
    client.pipe(editing).pipe(behind).pipe(client)
    client.on("close", () => {
      clients.delete(client)
      behind.resetAndDestroy()
    })
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
