/**
 * Measures what a statement and a transaction cost: npm run database [rounds] [operations]
 *
 * Each client runs in a process of its own, on one connection to the same server. In each round they take turns, so that other load
 * on the machine affects all of them alike; the ratios are those of each round. CPU is that of the client's process.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { cpus } from "node:os"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { throwaway } from "../../test/kit/postgresServer.js"
import { median, table } from "../servers.js"

const [rounds = 15, operations = 1000] = process.argv.slice(2).map(Number)
/** Rounds that are not counted: the compiler of a busy machine takes that long. */
const warmUp = 6

const postgres = throwaway()
if (typeof postgres === "string") throw new Error(postgres)
await postgres.create()
await postgres.query(
  "CREATE TABLE bench AS SELECT id, 0 AS n FROM generate_series(0, 999) AS id; ALTER TABLE bench ADD PRIMARY KEY (id)"
)

interface Peer {
  readonly name: string
  readonly child: ChildProcess
  readonly run: (operation: string) => Promise<Cost>
}

interface Cost {
  readonly wall: number
  readonly cpu: number
}

const start = async (name: string, file: string): Promise<Peer> => {
  const program = fileURLToPath(new URL(`./peers/${file}.ts`, import.meta.url))
  const child = spawn(process.execPath, ["--import", "tsx", program], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, URL: postgres.url }
  })
  child.once("exit", () => {
    throw new Error(`${name} ended`)
  })
  const lines = createInterface({ input: child.stdout })
  const run = async (operation: string): Promise<Cost> => {
    child.stdin.write(`${operation} ${operations}\n`)
    const [line] = await once(lines, "line")
    const [wall, cpu] = String(line).split(" ").map(Number)
    return { wall: wall!, cpu: cpu! }
  }
  while (String((await once(lines, "line"))[0]) !== "ready");
  return { name, child, run }
}

const peers = [
  await start("pg", "pg"),
  await start("@effect/sql-pg", "stock"),
  await start("lastcall Database", "lastcall")
]

const measure = async (operation: string) => {
  const costs = peers.map(() => [] as Array<Cost>)
  for (let round = -warmUp; round < rounds; round++) {
    for (let n = 0; n < peers.length; n++) {
      const which = (round + warmUp + n) % peers.length
      const cost = await peers[which]!.run(operation)
      if (round >= 0) costs[which]!.push(cost)
    }
  }
  const stock = costs[1]!
  return peers.map(({ name }, n) => {
    const column = (of: (cost: Cost) => number) => [
      `${median(costs[n]!.map(of)).toFixed(0)} us`,
      median(costs[n]!.map((cost, round) => of(cost) / of(stock[round]!))).toFixed(2)
    ]
    return [operation, name, ...column(({ wall }) => wall), ...column(({ cpu }) => cpu)]
  })
}

const rows = [...await measure("statement"), ...await measure("transaction")]
console.log(`${cpus()[0]!.model}, ${cpus().length} cores, Node ${process.versions.node}`)
console.log(`${rounds} rounds of ${operations} operations, medians; ratios are medians of those of each round\n`)
console.log(table([["", "client", "wall", "of @effect/sql-pg", "CPU of the client", "of @effect/sql-pg"], ...rows]))
for (const { child } of peers) child.removeAllListeners("exit").kill("SIGKILL")
await postgres.remove()
process.exit()
