/**
 * Measures how soon an idle pool begins a job that another process has offered: npm run jobs-pickup [jobs] [part of the names of the programs]
 *
 * One job at a time, 20 to 200 ms after the one before has begun: from the moment when its offer is committed, as the process that offers it
 * sees it, so that a job which begins while the answer is on its way counts as zero.
 */
import { cpus } from "node:os"
import { setTimeout } from "node:timers/promises"
import { table } from "../servers.js"
import { offererFor } from "./offerers.js"
import { now } from "./program.js"
import { type Peer, postgres, queueName, redis, start } from "./programs.js"

const [jobs = "200", only = ""] = process.argv.slice(2)
/** Jobs that are not counted. */
const warmUp = 20

await Promise.all([postgres.create(), redis.create()])
await postgres.query("CREATE TABLE results (id text)")

const peers: ReadonlyArray<Peer> = [
  ["pg-boss, work()", "pgBoss", postgres.url],
  ["graphile-worker, tuned", "graphileWorker", postgres.url],
  ["lastcall over PostgreSQL", "lastcall", postgres.url],
  ["BullMQ, Worker", "bullmq", redis.url],
  ["lastcall over Redis", "lastcall", redis.url],
  ["lastcall, JobCarrierRedis", "lastcall", redis.url, { WORK: "row", POSTGRES: postgres.url }]
]

const measure = async (peer: Peer) => {
  const name = queueName()
  const worker = start(peer, { NAME: name })
  await worker.parseOutput("ready")
  const offerer = await offererFor(peer, name)
  const millis: Array<{ readonly sinceCommit: number; readonly sinceCall: number }> = []
  for (let number = 0; number < Number(jobs) + warmUp; number++) {
    await setTimeout(20 + Math.random() * 180)
    const called = now()
    await offerer.offer({ long: false, number })
    const committed = now()
    const [startedAt] = await worker.parseOutput(`started${number}`) ?? []
    if (startedAt === undefined) throw new Error(`${peer[0]}: a job does not begin`)
    millis.push({ sinceCommit: Math.max(0, startedAt - committed), sinceCall: startedAt - called })
  }
  worker.child.kill("SIGKILL")
  await offerer.close()
  return millis.slice(warmUp)
}

const quantile = (values: ReadonlyArray<number>, part: number) => {
  const sorted = [...values].sort((a, b) => a - b)
  return `${sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!.toFixed(1)} ms`
}

const rows: Array<ReadonlyArray<string>> = []
for (const peer of peers.filter(([name]) => name.includes(only))) {
  const millis = await measure(peer)
  const sinceCommit = millis.map((job) => job.sinceCommit)
  const sinceCall = millis.map((job) => job.sinceCall)
  rows.push([peer[0], ...[0.5, 0.95, 1].map((part) => quantile(sinceCommit, part)), quantile(sinceCall, 0.5)])
  console.error(peer[0])
}
console.log(`${cpus()[0]!.model}, ${cpus().length} cores, Node ${process.versions.node}, ${jobs} jobs\n`)
console.log(table([["", "after the commit: p50", "p95", "longest", "after the call of the offer: p50"], ...rows]))
await Promise.all([postgres.remove(), redis.remove()])
process.exit()
