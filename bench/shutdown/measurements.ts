/** The measurements: what clients do, and what they observe. Each ends its server. */
import * as Net from "node:net"
import { Traffic } from "../../test/kit/traffic.js"
import type { Server } from "../servers.js"

/** Milliseconds after which a process is taken to never end: the timeouts of all servers are shorter. */
const never = 10_000

const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** Milliseconds from a moment to the end of the process; infinite if it does not end. */
const endAfter = async (server: Server, from: () => number) => {
  const end = await Promise.race([server.exited, wait(never)])
  if (end === undefined) server.child.kill("SIGKILL")
  return end === undefined ? Infinity : end - from()
}

const connect = (port: number) =>
  new Promise<Net.Socket>((resolve, reject) => {
    const socket = Net.connect(port, "127.0.0.1").once("error", reject).once("connect", () => {
      socket.off("error", reject).on("error", () => undefined)
      resolve(socket)
    })
  })

const request = (socket: Net.Socket, path: string) => {
  const response = new Promise<string>((resolve) => {
    socket.once("data", (chunk) => resolve(chunk.toString()))
    socket.once("close", () => resolve(""))
  })
  socket.write(`GET ${path} HTTP/1.1\r\nHost: service\r\n\r\n`)
  return response
}

/** 50 requests in flight, whose clients keep their connections: how many get a response, and the exit after the last one. */
export const inFlight = async (server: Server) => {
  const sockets = await Promise.all(Array.from({ length: 50 }, () => connect(server.port)))
  let last = 0
  const responses = sockets.map(async (socket) => {
    const response = await request(socket, "/?ms=700")
    last = performance.now()
    return response.startsWith("HTTP/1.1 200")
  })
  await wait(300)
  server.child.kill("SIGTERM")
  const answered = (await Promise.all(responses)).filter((ok) => ok).length
  const exit = await endAfter(server, () => last)
  sockets.forEach((socket) => socket.destroy())
  return { answered, exit }
}

/** One request in flight on a server that responds after 400 ms, whose client closes the connection after the response: the exit after it. */
export const exitLag = async (server: Server) => {
  const socket = await connect(server.port)
  // Until the service is idle.
  await wait(2500)
  const response = new Promise<number>((resolve) => socket.once("data", () => resolve(performance.now())))
  socket.write("GET / HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n")
  await wait(100)
  server.child.kill("SIGTERM")
  const last = await response
  const exit = await endAfter(server, () => last)
  socket.destroy()
  return exit
}

/** 50 clients that send requests over one connection each: how many lose a request. */
export const kept = async (server: Server) => {
  const traffic = new Traffic(server.port, 50, { think: 50, delay: 5 })
  await traffic.flows(600)
  server.child.kill("SIGTERM")
  await Promise.race([traffic.ended, wait(4000)])
  await endAfter(server, () => 0)
  return (await traffic.stop()).dropped.length
}

/** A connection without a request: how long it delays the exit. */
export const silent = async (server: Server) => {
  const socket = await connect(server.port)
  await wait(100)
  const from = performance.now()
  server.child.kill("SIGTERM")
  const exit = await endAfter(server, () => from)
  socket.destroy()
  return exit
}

/** A second request on a connection whose first request was in flight at the signal. */
export const late = async (server: Server) => {
  const [busy, other] = [await connect(server.port), await connect(server.port)]
  const long = request(other, "/?ms=1500")
  const first = request(busy, "/?ms=300")
  await wait(100)
  server.child.kill("SIGTERM")
  const closeAnnounced = /^connection: close/im.test(await first)
  const second = closeAnnounced ? "announced" : await Promise.race([request(busy, "/"), wait(1000).then(() => "hangs")])
  await long
  await endAfter(server, () => 0)
  busy.destroy()
  other.destroy()
  return second === "" ? "closed" : second.startsWith("HTTP") ? second.slice(9, 12) : second
}

/** 10,000 idle connections: the exit after the signal, and the longest delay of the event loop. */
export const idle = async (server: Server) => {
  const sockets: Array<Net.Socket> = []
  while (sockets.length < 10_000) {
    const some = await Promise.all(Array.from({ length: 200 }, () => connect(server.port)))
    await Promise.all(some.map((socket) => request(socket, "/")))
    sockets.push(...some)
  }
  let output = ""
  server.child.stdout!.on("data", (chunk: string) => (output += chunk))
  server.child.kill("SIGUSR2")
  await wait(500)
  const from = performance.now()
  server.child.kill("SIGTERM")
  const exit = await endAfter(server, () => from)
  sockets.forEach((socket) => socket.destroy())
  await wait(50)
  return { exit, blocked: Number(/^blocked (\d+)$/m.exec(output)?.[1] ?? Infinity) }
}
