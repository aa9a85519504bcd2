/**
 * Measures what a request costs: npm run http [rounds] [requests]
 *
 * The servers run side by side. In each round a client loads one after the other, so that other load on the machine affects
 * all of them alike. CPU per request is that of the server's process: a better measure than requests per second when client
 * and server share the machine. A ratio is the median of those of the rounds.
 */
import { cpus } from "node:os"
import { setTimeout } from "node:timers/promises"
import { median, type Server, start, table } from "../servers.js"
import { waiting, workloads } from "./apps.js"
import { connect, load, requestOf } from "./client.js"
import { usageOf } from "./usage.js"

const [rounds = 15, requests = 5000] = process.argv.slice(2).map(Number)
const connections = 32
const programs = [["node:http", "node"], ["NodeHttpServer", "stock"], ["lastcall HttpServer", "lastcall"]] as const

console.log(`${cpus()[0]!.model}, ${cpus().length} cores, Node ${process.versions.node}`)
console.log(`${rounds} rounds of ${requests} requests over ${connections} connections, medians\n`)

const startPeer = async ([name, file]: (typeof programs)[number], app: string) => {
  const server: Server = await start(name, `./http/${file}.ts`, { APP: app, NODE_OPTIONS: "--expose-gc" })
  return { server, sockets: await connect(server.port, connections), cpu: [] as Array<number> }
}

const rows: Array<Array<string>> = []
for (const workload of workloads) {
  const request = requestOf(workload)
  const peers = await Promise.all(programs.map((program) => startPeer(program, workload.app)))
  const measure = async ({ server, sockets }: (typeof peers)[number], count: number) => {
    const { cpu: before } = await usageOf(server.child)
    await load(sockets, request, count)
    const { cpu } = await usageOf(server.child)
    return (cpu - before) / count
  }
  for (const peer of peers) await measure(peer, 4 * requests)
  for (let round = 0; round < rounds; round++) {
    // Each round begins with another server.
    for (let n = 0; n < peers.length; n++) {
      const peer = peers[(round + n) % peers.length]!
      peer.cpu.push(await measure(peer, requests))
    }
  }
  for (const { server } of peers) server.child.kill("SIGKILL")
  const [bare, stock, lastcall] = peers.map(({ cpu }) => cpu) as [Array<number>, Array<number>, Array<number>]
  const us = (cpu: ReadonlyArray<number>) => `${median(cpu).toFixed(1)} us`
  const ratios = lastcall.map((cpu, round) => cpu / stock[round]!).sort((a, b) => a - b)
  rows.push([
    workload.name,
    us(bare),
    us(stock),
    us(lastcall),
    median(ratios).toFixed(3),
    `${ratios[rounds >> 2]!.toFixed(3)} to ${ratios[rounds - 1 - (rounds >> 2)]!.toFixed(3)}`
  ])
}
console.log(table([["app", ...programs.map(([name]) => name), "of stock", "quartiles"], ...rows]))

/** The bytes that a connection without a request holds, and those that a request adds whose handler waits. */
const heapOf = async (program: (typeof programs)[number]) => {
  const count = 2000
  const { server, sockets } = await startPeer(program, waiting.app)
  const request = requestOf(workloads[0]!)
  await load(sockets, request, 4 * requests)
  const before = await usageOf(server.child, true)
  const more = await connect(server.port, count)
  await load(more, request, 2 * count)
  const idle = await usageOf(server.child, true)
  for (const socket of more) socket.write(requestOf(waiting))
  await setTimeout(500)
  const inFlight = await usageOf(server.child, true)
  server.child.kill("SIGKILL")
  return [idle.heap - before.heap, inFlight.heap - idle.heap].map((bytes) => `${Math.round(bytes / count)} B`)
}

const held: Array<Array<string>> = []
for (const program of programs) held.push([program[0], ...await heapOf(program)])
console.log(`\n${table([["server", "heap per idle connection", "and per request in flight"], ...held])}`)
process.exit()
