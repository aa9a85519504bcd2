/**
 * Measures what a request costs: npm run http [rounds] [requests]
 *
 * The servers run side by side. In each round a client loads one after the other, so that other load on the machine affects
 * all of them alike. CPU per request is that of the server's process: a better measure than requests per second when client
 * and server share the machine. A ratio is the median of those of the rounds.
 */
import { cpus } from "node:os"
import { median, table } from "../servers.js"
import { workloads } from "./apps.js"
import { connect, load, requestOf } from "./client.js"
import { type Program, programs, startProgram } from "./programs.js"
import { usageOf } from "./usage.js"

const [rounds = 15, requests = 5000] = process.argv.slice(2).map(Number)
const connections = 32

console.log(`${cpus()[0]!.model}, ${cpus().length} cores, Node ${process.versions.node}`)
console.log(`${rounds} rounds of ${requests} requests over ${connections} connections, medians\n`)

const startPeer = async (program: Program, app: string) => {
  const server = await startProgram(program, app)
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
process.exit()
