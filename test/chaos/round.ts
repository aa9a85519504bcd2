// One round: a fresh service under load, hurt as its schedule says, left to recover, and audited.
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { read } from "../fixtures/chaos/journal.js"
import type { Ledger } from "../fixtures/chaos/ledger.js"
import { audit } from "./audit.js"
import { leftovers, pardon, send } from "./client.js"
import { Fleet } from "./fleet.js"
import type { Blow, Schedule } from "./schedule.js"
import type { Server, Servers } from "./servers.js"
import { type Evidence, type Outage, type Problem, verdict } from "./verdict.js"

export interface Round extends Evidence {
  readonly folder: string
  readonly problems: ReadonlyArray<Problem>
}

/** From the last blow until everything must have come to its end. It takes some seconds, unless the machine is busy. */
const recovery = 90_000
/** From being told to stop until a process is given up. */
const ending = 20_000

const nothing: Ledger = { accepted: [], effects: [], dead: [], pardoned: [], steps: [], leftovers: [] }

const frozen = async (server: Server, millis: number) => {
  server.freeze()
  await sleep(millis)
  server.thaw()
}

const strike = async (fleet: Fleet, servers: Servers, { millis, what, whom }: Blow, outages: Array<Outage>) => {
  const server = servers.hurtable[whom]
  if (server !== undefined) {
    const from = Date.now()
    if (what === "forget") await server.forget!()
    else if (what === "freeze") await frozen(server, millis)
    else {
      await (what === "stop" ? server.stop() : server.kill())
      await sleep(millis)
      await server.start()
    }
    outages.push({ from, to: Date.now() })
    return
  }
  const instance = fleet.at(Number(whom.split(" ")[1]))
  if (what !== "freeze") return instance?.tell(what as NodeJS.Signals)
  instance?.tell("SIGSTOP")
  await sleep(millis)
  instance?.tell("SIGCONT")
}

/** Waits until nothing is left to do, or it is too late. */
const settled = async (fleet: Fleet, until: number): Promise<void> => {
  while (Date.now() < until) {
    if ((await leftovers(fleet))?.length === 0) return
    await sleep(100)
  }
}

export const play = async (schedule: Schedule, servers: Servers, nth: number): Promise<Round> => {
  const { batches, blows, engine, seed, services } = schedule
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), `lastcall-chaos-${engine}-${seed}-`))
  const env = await servers.fresh(folder, nth)
  const fleet = new Fleet(services, folder, env)
  const outages: Array<Outage> = []
  while (fleet.urls().length < services) {
    if (fleet.lives.length > 0) throw new Error(`the service does not start, look into ${folder}`)
    await sleep(20)
  }
  const begin = Date.now()
  const at = async <A>(moment: number, what: () => Promise<A>) => {
    await sleep(moment)
    return what()
  }
  const answers = Promise.all(
    batches.map((batch, nth) => at(batch.at, () => send(fleet, batch, nth, begin + 2 * recovery)))
  )
  await Promise.all([
    at(schedule.pardon, () => pardon(fleet)),
    ...blows.map((blow) => at(blow.at, () => strike(fleet, servers, blow, outages)))
  ])
  const answered = (await answers).flatMap((answered, nth) => answered ? [batches[nth]!] : [])
  await settled(fleet, Date.now() + recovery)
  await fleet.stop(ending)
  const unreadable: Array<Problem> = []
  const ledger = await audit(env).catch((error: unknown) => {
    unreadable.push({ what: `the databases cannot be read any more: ${String(error)}` })
    return nothing
  })
  const evidence: Evidence = {
    schedule,
    answered,
    ledger,
    journal: read(Path.join(folder, "journal")),
    lives: fleet.lives,
    outages
  }
  return { ...evidence, folder, problems: unreadable.length > 0 ? unreadable : verdict(evidence) }
}
