/**
 * Measures what more processes add: npm run jobs-processes [rounds] [jobs] [part of the names of the programs]
 *
 * One, two and four processes of a program, ten jobs at a time in each, over one PostgreSQL server. Once all of them have run some jobs, so many are committed in one
 * transaction; the rate is from then to the last acknowledgement. The CPU time of the server is that of the backends which exist before.
 */
import { readFileSync } from "node:fs"
import { cpus } from "node:os"
import { setTimeout } from "node:timers/promises"
import { median, table } from "../servers.js"
import { offererFor } from "./offerers.js"
import { type Job, now } from "./program.js"
import { type Peer, postgres, type Program, queueName, start } from "./programs.js"

const [rounds = "3", jobs = "10000", only = ""] = process.argv.slice(2)
const counts = [1, 2, 4]
/** Jobs of each process that are not counted. */
const warmUp = 2000

await postgres.create()
await postgres.query("CREATE TABLE results (id text)")

const works: ReadonlyArray<readonly [work: "nothing" | "row", peers: ReadonlyArray<Peer>]> = [
  ["nothing", [
    ["pg-boss, work()", "pgBoss", postgres.url],
    ["graphile-worker, tuned", "graphileWorker", postgres.url],
    ["lastcall", "lastcall", postgres.url]
  ]],
  ["row", [
    ["pg-boss, tight loop", "pgBossLoop", postgres.url],
    ["graphile-worker, tuned, at least once", "graphileWorker", postgres.url],
    ["lastcall", "lastcall", postgres.url]
  ]]
]

/** The CPU time of PostgreSQL's processes in microseconds. A tick is 10 ms. */
const cpuOfServer = async () => {
  const pids = await postgres.query("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
  const ticks = pids.flatMap(({ pid }) => readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ").slice(11, 13))
  return ticks.reduce((sum, ticks) => sum + Number(ticks) * 10_000, 0)
}

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((sum, number) => sum + number, 0)

const measure = async (peer: Peer, work: string, count: number) => {
  await postgres.query("TRUNCATE results")
  const name = queueName()
  const programs: Array<Program> = []
  // One after the other: the first creates the tables.
  while (programs.length < count) {
    const program = start(peer, { NAME: name, WORK: work, PROGRESS: "1" })
    await program.parseOutput("ready")
    programs.push(program)
  }
  const offerer = await offererFor(peer, name)
  const latest = (column: number) => programs.map((program) => program.latest("progress")?.[column] ?? 0)
  const offered = (some: number) => offerer.offerAll(Array.from({ length: some }, (): Job => ({ long: false })))
  const acknowledged = async (some: number) => {
    for (const deadline = now() + 300_000; sum(latest(0)) < some;) {
      if (now() > deadline) throw new Error(`${peer[0]}: ${sum(latest(0))} of ${some} jobs have ended`)
      await setTimeout(50)
    }
  }
  await offered(warmUp * count)
  await acknowledged(warmUp * count)
  const [server, workers] = [await cpuOfServer(), sum(latest(2))]
  await offered(Number(jobs))
  const committed = now()
  await acknowledged(warmUp * count + Number(jobs))
  const cpu = { workers: (sum(latest(2)) - workers) / Number(jobs), server: (await cpuOfServer() - server) / Number(jobs) }
  const rate = (Number(jobs) / (Math.max(...latest(1)) - committed)) * 1000
  for (const { child } of programs) child.kill("SIGKILL")
  await offerer.close()
  return { rate, ...cpu }
}

const runs = works.flatMap(([work, peers]) =>
  peers.filter(([name]) => name.includes(only)).flatMap((peer) =>
    counts.map((count) => ({ work, peer, count, results: [] as Array<Awaited<ReturnType<typeof measure>>> }))
  )
)
for (let round = 0; round < Number(rounds); round++) {
  for (const { count, peer, results, work } of runs) results.push(await measure(peer, work, count))
  console.error(`round ${round + 1} of ${rounds}`)
}

console.log(`${cpus()[0]!.model}, ${cpus().length} cores, Node ${process.versions.node}, ${jobs} jobs, ${rounds} rounds, medians\n`)
console.log(table([
  ["a job that writes", "program", "processes", "jobs per second", "of one process", "CPU of the processes per job", "of the server"],
  ...runs.map(({ count, peer, results, work }) => {
    const of = (figure: keyof typeof results[number], run = results) => median(run.map((result) => result[figure]))
    const one = runs.find((run) => run.work === work && run.peer === peer && run.count === 1)!.results
    return [
      work === "row" ? "a row" : "nothing",
      peer[0],
      `${count}`,
      of("rate").toFixed(0),
      (of("rate") / of("rate", one)).toFixed(2),
      `${of("workers").toFixed(0)} us`,
      `${of("server").toFixed(0)} us`
    ]
  })
]))
await postgres.remove()
process.exit()
