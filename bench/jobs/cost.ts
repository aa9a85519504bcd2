/**
 * Measures what a job costs: npm run jobs-cost [rounds] [jobs] [concurrency] [part of the names of the programs]
 *
 * Each engine's own worker and lastcall's run as processes of their own, over the same server. They take turns.
 */
import { cpus } from "node:os"
import { median, table } from "../servers.js"
import { type Peer, postgres, queueName, redis, start } from "./programs.js"

const [rounds = "5", jobs = "20000", concurrency = "10", only = ""] = process.argv.slice(2)

await Promise.all([postgres.create(), redis.create()])
await postgres.query("CREATE TABLE results (id text)")

/** The first of each group is what the others are compared to. */
const groups: ReadonlyArray<readonly [title: string, work: "nothing" | "row", peers: ReadonlyArray<Peer>]> = [
  ["a job that does nothing, PostgreSQL", "nothing", [
    ["pg-boss, work()", "pgBoss", postgres.url],
    ["graphile-worker, tuned", "graphileWorker", postgres.url],
    ["lastcall over PostgreSQL", "lastcall", postgres.url]
  ]],
  ["a job that does nothing, Redis", "nothing", [
    ["BullMQ, Worker", "bullmq", redis.url],
    ["lastcall over Redis", "lastcall", redis.url]
  ]],
  ["a job that writes a row", "row", [
    ["pg-boss, tight loop", "pgBossLoop", postgres.url],
    ["graphile-worker, tuned, at least once", "graphileWorker", postgres.url],
    ["lastcall over PostgreSQL", "lastcall", postgres.url]
  ]],
  ["a job that writes a row, all rows of a batch in one statement", "row", [
    ["pg-boss, tight loop in batches", "pgBossLoop", postgres.url, { INSERTS: "together" }],
    ["pg, tight loop in batches", "pgLoop", postgres.url],
    ["lastcall, layerBatched", "lastcallBatches", postgres.url]
  ]],
  ["a job from Redis that writes a row to PostgreSQL", "row", [
    ["BullMQ, Worker, at least once", "bullmq", redis.url],
    ["lastcall, JobCarrierRedis", "lastcall", redis.url]
  ]]
]

const runs = groups.flatMap(([title, work, peers]) =>
  peers.filter(([name]) => only.split("|").some((part) => name.includes(part))).map((peer) => ({
    title,
    work,
    peer,
    cpu: [] as Array<number>,
    rate: [] as Array<number>
  }))
)

for (let round = 0; round < Number(rounds); round++) {
  for (const { cpu, peer, rate, work } of runs) {
    await postgres.query("TRUNCATE results")
    const program = start(peer, { POSTGRES: postgres.url, NAME: queueName(), OFFER: jobs, CONCURRENCY: concurrency, WORK: work })
    const first = await program.parseOutput("first", 120_000)
    const last = await program.parseOutput("last", 300_000)
    program.child.kill("SIGKILL")
    if (first === undefined || last === undefined) throw new Error(`${peer[0]} did not end`)
    rate.push((Number(jobs) / (last[0]! - first[0]!)) * 1000)
    cpu.push(last[1]!)
    const [rows] = await postgres.query("SELECT count(*)::int AS count FROM results")
    if (rows!["count"] !== (work === "row" ? Number(jobs) : 0)) throw new Error(`${peer[0]}: ${rows!["count"]} rows`)
  }
  console.error(`round ${round + 1} of ${rounds}`)
}

/** The median of the ratios of the rounds. */
const ratio = (of: ReadonlyArray<number>, to: ReadonlyArray<number> | undefined) =>
  to === undefined ? "" : median(of.map((value, round) => value / to[round]!)).toFixed(2)

console.log(`${cpus()[0]!.model}, Node ${process.versions.node}, ${jobs} jobs, ${concurrency} at a time, ${rounds} rounds`)
for (const [title] of groups) {
  const group = runs.filter((run) => run.title === title)
  const [first] = group
  if (first === undefined) continue
  console.log(`\n${title}\n`)
  console.log(table([
    ["", "CPU per job", "of the first", "jobs per second", "of the first"],
    ...group.map(({ cpu, peer: [name], rate }) => [
      name,
      `${median(cpu).toFixed(0)} us`,
      ratio(cpu, first.cpu),
      median(rate).toFixed(0),
      ratio(rate, first.rate)
    ])
  ]))
}
await Promise.all([postgres.remove(), redis.remove()])
process.exit()
