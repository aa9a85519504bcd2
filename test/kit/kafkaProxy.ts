import * as Net from "node:net"

/** The response of a broker to one request. */
export interface KafkaResponse {
  /** The number of the request's kind in the protocol. */
  readonly api: number
  /** The whole frame, with its size. */
  readonly frame: Buffer
}

/** Passes on whole frames of the protocol, each of which begins with its size. */
const frames = (each: (frame: Buffer) => void) => {
  let rest = Buffer.alloc(0)
  return (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const end = 4 + rest.readInt32BE(0)
      const frame = Buffer.from(rest.subarray(0, end))
      rest = rest.subarray(end)
      each(frame)
    }
  }
}

/** What becomes of a response: its connection may end instead, or stay open and answer nothing any more. */
export type Fate = "pass" | "break" | "hush"

/** A proxy to a broker on this machine that shows each response before the client gets it. The response may be edited in place. */
export const kafkaProxy = async (port: number, fateOf: (response: KafkaResponse) => Fate) => {
  const sockets = new Set<Net.Socket>()
  const server = Net.createServer((client) => {
    const broker = Net.connect(port, "127.0.0.1")
    for (const socket of [client, broker]) sockets.add(socket.setNoDelay(true).on("error", () => undefined))
    const apis = new Map<number, number>()
    let isHushed = false
    client.on(
      "data",
      frames((frame) => {
        apis.set(frame.readInt32BE(8), frame.readInt16BE(4))
        if (!isHushed) broker.write(frame)
      })
    )
    broker.on(
      "data",
      frames((frame) => {
        const id = frame.readInt32BE(4)
        if (isHushed) return
        const fate = fateOf({ api: apis.get(id)!, frame })
        if (fate === "pass") client.write(frame)
        else if (fate === "break") client.destroy()
        else isHushed = true
        apis.delete(id)
      })
    )
    client.on("close", () => broker.resetAndDestroy())
    broker.on("close", () => client.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    port: (server.address() as Net.AddressInfo).port,
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise<unknown>((resolve) => server.close(resolve))
    }
  }
}
