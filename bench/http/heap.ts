/**
 * Measures what connections and requests hold: npm run heap [rounds]
 *
 * After a warm-up, many connections are opened, and each sends two requests. The heap after a garbage collection is compared
 * with that before. A POST has a body, for which its handler waits; a GET of these apps has its response at once.
 */
import { setTimeout } from "node:timers/promises"
import { median, table } from "../servers.js"
import { waiting, type Workload, workloads } from "./apps.js"
import { connect, load, requestOf } from "./client.js"
import { type Program, programs, startProgram } from "./programs.js"
import { usageOf } from "./usage.js"

const [rounds = 3] = process.argv.slice(2).map(Number)
const connections = 2000
const warmUp = 8000

/** The bytes that an idle connection holds, and those that a request adds whose handler waits. */
const heapOf = async (program: Program, workload: Workload) => {
  const server = await startProgram(program, workload.app)
  const request = requestOf(workload)
  await load(await connect(server.port, 32), request, warmUp)
  const before = await usageOf(server.child, true)
  const sockets = await connect(server.port, connections)
  await load(sockets, request, 2 * connections)
  const idle = await usageOf(server.child, true)
  for (const socket of sockets) socket.write(requestOf(waiting))
  await setTimeout(500)
  const inFlight = await usageOf(server.child, true)
  server.child.kill("SIGKILL")
  for (const socket of sockets) socket.destroy()
  return [idle.heap - before.heap, inFlight.heap - idle.heap].map((bytes) => Math.round(bytes / connections))
}

const bytes = (values: ReadonlyArray<number>) => `${median(values)} B`

const [get, post] = workloads.filter(({ app }) => app === waiting.app) as [Workload, Workload]
const rows: Array<Array<string>> = []
for (const program of programs) {
  const [afterGet, inFlight, afterPost] = [[], [], []] as [Array<number>, Array<number>, Array<number>]
  for (let round = 0; round < rounds; round++) {
    const [idle, waits] = await heapOf(program, get) as [number, number]
    afterGet.push(idle)
    inFlight.push(waits)
    afterPost.push((await heapOf(program, post))[0]!)
  }
  rows.push([program[0], bytes(afterGet), bytes(afterPost), bytes(inFlight)])
}
console.log(`Node ${process.versions.node}, ${connections} connections, medians of ${rounds} rounds\n`)
console.log(table([["server", "idle connection, after a GET", "after a POST", "and per request in flight"], ...rows]))
process.exit()
