/**
 * Measures what happens to connections when a server gets SIGTERM: npm run shutdown [rounds]
 *
 * Each measurement starts its server anew, in turns, and observes it from outside: raw sockets, HTTP/1.1, loopback.
 */
import { cpus } from "node:os"
import { median, start, table } from "../servers.js"
import { idle, inFlight, kept, late, silent } from "./measurements.js"

const peers = {
  "node server.close": "node",
  "http-terminator 3.2": "httpTerminator",
  "stoppable 1.1": "stoppable",
  "NodeHttpServer": "stock",
  "lastcall HttpServer": "lastcall"
}

const rounds = Number(process.argv[2] ?? 5)

const measure = async (name: string, file: string) => {
  const path = `./shutdown/peers/${file}.ts`
  return {
    inFlight: await inFlight(await start(name, path)),
    kept: await kept(await start(name, path)),
    silent: await silent(await start(name, path)),
    late: await late(await start(name, path)),
    idle: await idle(await start(name, path))
  }
}

const measured = new Map<string, Array<Awaited<ReturnType<typeof measure>>>>()
for (let round = 0; round < rounds; round++) {
  for (const [name, file] of Object.entries(peers)) {
    const results = measured.get(name) ?? []
    results.push(await measure(name, file))
    measured.set(name, results)
  }
  console.error(`round ${round + 1} of ${rounds}`)
}

const ms = (values: ReadonlyArray<number>) => {
  const middle = median(values)
  return middle === Infinity ? "never" : `${Math.round(middle)} ms`
}

console.log(`${cpus()[0]!.model}, ${cpus().length} cores, Node ${process.versions.node}, ${rounds} rounds, medians\n`)
console.log(table([
  [
    "server",
    "50 in flight: answered, exit after the last",
    "kept connections: dropped of 50",
    "silent connection: exit",
    "late request",
    "10,000 idle: exit, loop blocked"
  ],
  ...Array.from(measured, ([name, results]) => [
    name,
    `${median(results.map((_) => _.inFlight.answered))}, ${ms(results.map((_) => _.inFlight.exit))}`,
    `${median(results.map((_) => _.kept))} (${Math.min(...results.map((_) => _.kept))} to ${
      Math.max(...results.map((_) => _.kept))
    })`,
    ms(results.map((_) => _.silent)),
    [...new Set(results.map((_) => _.late))].join(" or "),
    `${ms(results.map((_) => _.idle.exit))}, ${ms(results.map((_) => _.idle.blocked))}`
  ])
]))
process.exit()
