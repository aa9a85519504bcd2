/**
 * Measures how soon jobs run elsewhere when their process stops, and what a job costs: npm run jobs [rounds]
 *
 * Each engine's own worker and lastcall's run as processes of their own, over the same server.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { cpus } from "node:os"
import { fileURLToPath } from "node:url"
import { throwaway } from "../../test/kit/postgresServer.js"
import { ThrowawayRedis } from "../../test/kit/redisServer.js"
import { median, table } from "../servers.js"
import { now, stopTimeout } from "./program.js"

const rounds = Number(process.argv[2] ?? 5)
const jobs = 5_000
/** How long a job of a stopped process may take to run elsewhere. After that it counts as never, in milliseconds. */
const startTimeout = 90_000

const postgres = throwaway()
if (typeof postgres === "string") throw new Error(postgres)
const redis = new ThrowawayRedis()
await Promise.all([postgres.create(), redis.create()])

const peers = [
  ["pg-boss", "pgBoss", postgres.url],
  ["lastcall over PostgreSQL", "lastcall", postgres.url],
  ["BullMQ", "bullmq", redis.url],
  ["lastcall over Redis", "lastcall", redis.url]
] as const
type Peer = (typeof peers)[number]

interface Program {
  readonly child: ChildProcess
  /** The numbers of the first line that begins with this word, printed before or after the call; undefined after `within`. */
  readonly parseOutput: (word: string, within?: number) => Promise<ReadonlyArray<number> | undefined>
}

const start = ([, file, url]: Peer, env: NodeJS.ProcessEnv): Program => {
  const program = fileURLToPath(new URL(`./peers/${file}.ts`, import.meta.url))
  const child = spawn(process.execPath, ["--import", "tsx", program], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env, URL: url }
  })
  let output = ""
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output += chunk))
  return {
    child,
    parseOutput: (word, within = 60_000) =>
      new Promise((resolve) => {
        const deadline = setTimeout(() => done(undefined), within)
        const look = () => {
          const line = output.split("\n").slice(0, -1).find((line) => line.split(" ")[0] === word)
          if (line !== undefined) done(line.split(" ").slice(1).map(Number))
        }
        const done = (words: ReadonlyArray<number> | undefined) => {
          clearTimeout(deadline)
          child.stdout.off("data", look)
          resolve(words)
        }
        child.stdout.on("data", look)
        look()
      })
  }
}

let names = 0
const name = () => `bench_${process.pid}_${names++}`

/** The CPU time of a job that does nothing, and the number of such jobs in a second. */
const throughput = async (peer: Peer) => {
  const program = start(peer, { NAME: name(), OFFER: String(jobs) })
  const [first] = (await program.parseOutput("first"))!
  const [last, cpu] = (await program.parseOutput("last"))!
  program.child.kill("SIGKILL")
  return { rate: (jobs / (last! - first!)) * 1000, cpu: cpu! }
}

/** Stops the process of a running job, and measures when the job runs in another process. */
const handOver = async (peer: Peer, signal: "SIGTERM" | "SIGKILL") => {
  const env = { NAME: name() }
  const one = start(peer, { ...env, LONG: "1" })
  await one.parseOutput("started")
  const two = start(peer, env)
  await two.parseOutput("ready")
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const at = now()
  one.child.kill(signal)
  const [startedAt, attempt] = await two.parseOutput("started", startTimeout) ?? []
  two.child.kill("SIGKILL")
  one.child.kill("SIGKILL")
  const after = startedAt === undefined ? Infinity : startedAt - at - (signal === "SIGTERM" ? stopTimeout : 0)
  return { after, attempt: attempt ?? 0 }
}

const results = new Map(peers.map((peer) => [peer, {
  rate: [] as Array<number>,
  cpu: [] as Array<number>,
  stopped: [] as Array<number>,
  attempts: new Set<number>(),
  killed: [] as Array<number>
}]))

for (let round = 0; round < rounds; round++) {
  for (const [peer, result] of results) {
    const { cpu, rate } = await throughput(peer)
    result.rate.push(rate)
    result.cpu.push(cpu)
    const { after, attempt } = await handOver(peer, "SIGTERM")
    result.stopped.push(after)
    result.attempts.add(attempt)
  }
  // All at once, because the processes only wait.
  await Promise.all(Array.from(results, async ([peer, result]) => {
    result.killed.push((await handOver(peer, "SIGKILL")).after)
  }))
  console.error(`round ${round + 1} of ${rounds}`)
}

const ms = (value: number) => value === Infinity ? "never" : `${Math.round(value)} ms`
const range = (values: ReadonlyArray<number>, show: (value: number) => string) =>
  `${show(median(values))} (${show(Math.min(...values))} to ${show(Math.max(...values))})`
const seconds = (value: number) => value === Infinity ? "never" : `${(value / 1000).toFixed(1)} s`

console.log(`${cpus()[0]!.model}, ${cpus().length} cores, Node ${process.versions.node}, ${rounds} rounds, medians\n`)
console.log(table([
  ["", "stopped: runs elsewhere after", "as attempt", "killed: runs elsewhere after", "jobs per second", "CPU per job"],
  ...Array.from(results, ([[name], { attempts, cpu, killed, rate, stopped }]) => [
    name,
    range(stopped, ms),
    [...attempts].join(" or ").replace("0", "none"),
    range(killed, seconds),
    median(rate).toFixed(0),
    `${median(cpu).toFixed(0)} us`
  ])
]))
await Promise.all([postgres.remove(), redis.remove()])
process.exit()
