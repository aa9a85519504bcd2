/**
 * Measures what a request costs: npm run http [rounds] [seconds]
 *
 * The servers run side by side. In each round wrk loads one after the other, so that other load on the machine affects
 * all of them alike. CPU per request is what the kernel charged the server's process: a better measure than requests per
 * second when client and server share the machine. The lowest value is the least disturbed one.
 */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { cpus } from "node:os"
import { median, type Server, start, table } from "../servers.js"

const [rounds = 7, seconds = 3] = process.argv.slice(2).map(Number)
const connections = 32

/** CPU time of a process in microseconds. The kernel counts it in ticks of 10 ms. */
const cpuOf = (pid: number) => {
  const [utime, stime] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ").slice(11, 13).map(Number)
  return (utime! + stime!) * 10_000
}

const load = (server: Server, time: number) => {
  const before = cpuOf(server.child.pid!)
  const args = ["-t1", `-c${connections}`, `-d${time}s`, `http://127.0.0.1:${server.port}/`]
  const output = execFileSync("wrk", args, { encoding: "utf8" })
  if (/Non-2xx|Socket errors/.test(output)) throw new Error(`${server.name}: ${output}`)
  const requests = Number(/(\d+) requests in/.exec(output)![1])
  return {
    cpu: (cpuOf(server.child.pid!) - before) / requests,
    rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(output)![1])
  }
}

const servers = [
  await start("node:http", "./http/node.ts"),
  await start("NodeHttpServer", "./http/stock.ts"),
  await start("lastcall HttpServer", "./http/lastcall.ts")
]
const measured = servers.map(() => ({ cpu: [] as Array<number>, rate: [] as Array<number> }))

for (const server of servers) load(server, 2)
for (let round = 0; round < rounds; round++) {
  // Each round begins with another server, because the first one runs on a cooler machine.
  for (let n = 0; n < servers.length; n++) {
    const which = (round + n) % servers.length
    const { cpu, rate } = load(servers[which]!, seconds)
    measured[which]!.cpu.push(cpu)
    measured[which]!.rate.push(rate)
  }
}
for (const { child } of servers) child.kill("SIGKILL")

const lowest = (values: ReadonlyArray<number>) => Math.min(...values)
const stock = measured[1]!

console.log(`${cpus()[0]!.model}, ${cpus().length} cores, Node ${process.versions.node}`)
console.log(`${rounds} rounds of ${seconds} s, ${connections} connections, medians\n`)
console.log(table([
  ["server", "CPU per request: median", "of stock", "lowest", "of stock", "requests per second", "of stock"],
  ...servers.map(({ name }, n) => {
    const { cpu, rate } = measured[n]!
    return [
      name,
      `${median(cpu).toFixed(1)} us`,
      (median(cpu) / median(stock.cpu)).toFixed(3),
      `${lowest(cpu).toFixed(1)} us`,
      (lowest(cpu) / lowest(stock.cpu)).toFixed(3),
      median(rate).toFixed(0),
      (median(rate) / median(stock.rate)).toFixed(3)
    ]
  })
]))
process.exit()
