/**
 * Measures how a process ends whose jobs all wait: npm run jobs-parked [jobs in memory] [jobs in PostgreSQL] [rounds]
 *
 * All jobs run at a time and never end by themselves. After SIGTERM they may continue for 0.5 s, which is not counted; then they are interrupted.
 */
import { cpus } from "node:os"
import { median, table } from "../servers.js"
import { now, stopTimeout } from "./program.js"
import { postgres, queueName, start } from "./programs.js"

const [inMemory = 100_000, inPostgres = 10_000, rounds = 3] = process.argv.slice(2).map(Number)

await postgres.create()

const measure = async (name: string, url: string, jobs: number) => {
  const program = start([name, "lastcall", url], { NAME: queueName(), LONG: `${jobs}`, CONCURRENCY: `${jobs}` })
  const exited = new Promise<number>((resolve) => program.child.once("exit", () => resolve(now())))
  if (await program.parseOutput("all", 120_000) === undefined) throw new Error(`${name}: not all jobs run`)
  program.child.kill("SIGUSR2")
  const [heap] = (await program.parseOutput("heap"))!
  await program.parseOutput("watching")
  const at = now()
  program.child.kill("SIGTERM")
  const exit = await exited - at - stopTimeout
  return { heap: heap!, exit, blocked: (await program.parseOutput("blocked"))![0]! }
}

const kinds = [["in memory", "", inMemory], ["in PostgreSQL", postgres.url, inPostgres]] as const
const results = kinds.map(() => [] as Array<Awaited<ReturnType<typeof measure>>>)
for (let round = 0; round < rounds; round++) {
  for (const [n, [name, url, jobs]] of kinds.entries()) results[n]!.push(await measure(name, url, jobs))
  console.error(`round ${round + 1} of ${rounds}`)
}

console.log(`${cpus()[0]!.model}, ${cpus().length} cores, Node ${process.versions.node}, ${rounds} rounds, medians\n`)
console.log(table([
  ["jobs that wait", "heap", "exit", "loop blocked"],
  ...kinds.map(([name, , jobs], n) => [
    `${jobs} ${name}`,
    `${(median(results[n]!.map(({ heap }) => heap)) / 1e6).toFixed(0)} MB`,
    `${median(results[n]!.map(({ exit }) => exit)).toFixed(0)} ms`,
    `${median(results[n]!.map(({ blocked }) => blocked))} ms`
  ])
]))
await postgres.remove()
process.exit()
