// One round: a new cluster under load, with the faults of its schedule, that recovers and is checked.
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { read } from "../fixtures/chaos/journal.js"
import type { Ledger } from "../fixtures/chaos/ledger.js"
import { check, type History, type Outage, type Violation } from "./checker.js"
import { redrive, send, unfinished } from "./client.js"
import { Cluster } from "./cluster.js"
import { readLedger } from "./databases.js"
import type { Fault, Schedule } from "./schedule.js"
import type { Server, Servers } from "./servers.js"

export interface Round extends History {
  readonly folder: string
  readonly violations: ReadonlyArray<Violation>
}

/** The time from the last fault until every job must be finished: a few seconds, unless the machine is busy. */
const recovery = 90_000
/** The time from SIGTERM until SIGKILL at the end of a round. */
const stopTimeout = 20_000

const emptyLedger: Ledger = { accepted: [], effects: [], dead: [], redriven: [], steps: [], unfinished: [] }

const injectInto = async (server: Server, { kind, millis }: Fault) => {
  if (kind === "wipe") return server.wipe!()
  if (kind === "freeze") {
    server.freeze()
    await sleep(millis)
    return server.thaw()
  }
  await (kind === "stop" ? server.stop() : server.kill())
  await sleep(millis)
  await server.start()
}

const inject = async (cluster: Cluster, servers: Servers, fault: Fault, outages: Array<Outage>) => {
  const { kind, millis, target } = fault
  const server = servers.byTarget[target]
  if (server !== undefined) {
    const from = Date.now()
    await injectInto(server, fault)
    outages.push({ from, to: Date.now() })
    return
  }
  const instance = cluster.at(Number(target.split(" ")[1]))
  if (kind !== "freeze") return instance?.send(kind as NodeJS.Signals)
  instance?.send("SIGSTOP")
  await sleep(millis)
  instance?.send("SIGCONT")
}

/** Waits until no job is left, or until the deadline. */
const recovered = async (cluster: Cluster, deadline: number): Promise<void> => {
  while (Date.now() < deadline) {
    if ((await unfinished(cluster))?.length === 0) return
    await sleep(100)
  }
}

export const play = async (schedule: Schedule, servers: Servers, nth: number): Promise<Round> => {
  const { batches, engine, faults, seed, services } = schedule
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), `lastcall-chaos-${engine}-${seed}-`))
  const env = await servers.emptyDatabases(folder, nth)
  const cluster = new Cluster(services, folder, env)
  const outages: Array<Outage> = []
  while (cluster.urls().length < services) {
    if (cluster.lives.length > 0) throw new Error(`the service does not start, see ${folder}`)
    await sleep(20)
  }
  const begin = Date.now()
  const at = async <A>(moment: number, run: () => Promise<A>) => {
    await sleep(moment)
    return run()
  }
  const responses = Promise.all(
    batches.map((batch, nth) => at(batch.at, () => send(cluster, batch, nth, begin + 2 * recovery)))
  )
  await Promise.all([
    at(schedule.redrive, () => redrive(cluster)),
    ...faults.map((fault) => at(fault.at, () => inject(cluster, servers, fault, outages)))
  ])
  const acknowledged = (await responses).flatMap((accepted, nth) => accepted ? [batches[nth]!] : [])
  await recovered(cluster, Date.now() + recovery)
  await cluster.stop(stopTimeout)
  const unreadable: Array<Violation> = []
  const ledger = await readLedger(env).catch((error: unknown) => {
    unreadable.push({ what: `the databases cannot be read: ${String(error)}` })
    return emptyLedger
  })
  const history: History = {
    schedule,
    acknowledged,
    ledger,
    journal: read(Path.join(folder, "journal")),
    lives: cluster.lives,
    outages
  }
  return { ...history, folder, violations: unreadable.length > 0 ? unreadable : check(history) }
}

/** The plan of one job, and what its processes wrote about it. */
const historyOf = ({ journal, schedule }: Round, job: string): ReadonlyArray<string> => {
  const first = journal[0]?.at ?? 0
  const planned = schedule.batches.flatMap(({ jobs }) => jobs).find(({ key }) => key === job)
  return [
    `  ${JSON.stringify(planned)}`,
    ...journal.filter((entry) => entry.job === job).map(({ at, attempt, id, process, what }) =>
      `  ${String(at - first).padStart(6)} ms  process ${process}  attempt ${attempt}  ${what}  ${id}`
    )
  ]
}

/** The violations of a round, with the history of each job, and the command that plays the schedule again. */
export const formatFailure = (round: Round): string => {
  const { engine, seed } = round.schedule
  return [
    `FAILED, see ${round.folder}; again with npm run chaos -- --engine ${engine} --seed ${seed} --rounds 1`,
    ...round.violations.flatMap(({ job, what }) =>
      job === undefined ? [`- ${what}`] : [`- job ${job} ${what}`, ...historyOf(round, job)]
    )
  ].join("\n")
}
