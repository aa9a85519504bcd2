/** A client of raw sockets, so that it costs little beside the server that it shares the machine with. */
import { once } from "node:events"
import { connect as connectSocket, type Socket } from "node:net"
import { order, type Workload } from "./apps.js"

export const connect = async (port: number, count: number): Promise<Array<Socket>> => {
  const sockets: Array<Socket> = []
  while (sockets.length < count) {
    const some = Array.from({ length: Math.min(100, count - sockets.length) }, () => connectSocket(port, "127.0.0.1"))
    await Promise.all(some.map((socket) => once(socket, "connect")))
    sockets.push(...some)
  }
  return sockets
}

export const requestOf = ({ method, path }: Workload): string => {
  const head = `${method} ${path} HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench\r\nAccept: */*\r\n`
  if (method === "GET") return `${head}\r\n`
  const body = JSON.stringify(order)
  return `${head}Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

/** Sends a request and returns the size of its response. All responses of a workload have the same one. */
const probe = async (socket: Socket, request: string): Promise<number> => {
  socket.write(request)
  let text = ""
  for (;;) {
    const [chunk] = await once(socket, "data") as [Buffer]
    text += chunk.toString("latin1")
    const end = text.indexOf("\r\n\r\n")
    if (end < 0) continue
    if (!text.startsWith("HTTP/1.1 200")) throw new Error(text)
    const size = end + 4 + Number(/content-length: (\d+)/i.exec(text)![1])
    if (text.length === size) return size
  }
}

/** Sends this many requests over the sockets, one at a time over each. */
export const load = async (sockets: ReadonlyArray<Socket>, request: string, count: number): Promise<void> => {
  const size = await probe(sockets[0]!, request)
  let toSend = count
  await Promise.all(sockets.map((socket) =>
    new Promise<void>((resolve, reject) => {
      let missing = 0
      const next = () => {
        if (toSend-- <= 0) {
          socket.off("data", onData).off("close", onClose)
          return resolve()
        }
        missing = size
        socket.write(request)
      }
      const onData = (chunk: Buffer) => {
        missing -= chunk.length
        if (missing < 0) reject(new Error(`a response of another size: ${chunk.toString("latin1")}`))
        if (missing === 0) next()
      }
      const onClose = () => reject(new Error("the server closed a connection"))
      socket.on("data", onData).on("close", onClose)
      next()
    })
  ))
}
