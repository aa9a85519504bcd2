/**
 * Measures how soon jobs run elsewhere when their process stops: npm run jobs [rounds]
 *
 * Each engine's own worker and lastcall's run as processes of their own, over the same server.
 */
import { cpus } from "node:os"
import { median, table } from "../servers.js"
import { now, stopTimeout } from "./program.js"
import { type Peer, postgres, queueName, redis, start } from "./programs.js"

const rounds = Number(process.argv[2] ?? 5)
/** How long a job of a stopped process may take to run elsewhere. After that it counts as never, in milliseconds. */
const startTimeout = 90_000

await Promise.all([postgres.create(), redis.create()])

const peers: ReadonlyArray<Peer> = [
  ["pg-boss", "pgBoss", postgres.url],
  ["lastcall over PostgreSQL", "lastcall", postgres.url],
  ["BullMQ", "bullmq", redis.url],
  ["lastcall over Redis", "lastcall", redis.url]
]

/** Stops the process of a running job, and measures when the job runs in another process. */
const handOver = async (peer: Peer, signal: "SIGTERM" | "SIGKILL") => {
  const env = { NAME: queueName() }
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
  stopped: [] as Array<number>,
  attempts: new Set<number>(),
  killed: [] as Array<number>
}]))

for (let round = 0; round < rounds; round++) {
  for (const [peer, result] of results) {
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
  ["", "stopped: runs elsewhere after", "as attempt", "killed: runs elsewhere after"],
  ...Array.from(results, ([[name], { attempts, killed, stopped }]) => [
    name,
    range(stopped, ms),
    [...attempts].join(" or ").replace("0", "none"),
    range(killed, seconds)
  ])
]))
await Promise.all([postgres.remove(), redis.remove()])
process.exit()
