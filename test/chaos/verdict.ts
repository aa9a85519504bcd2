// Holds what happened against what must be. Pure: everything it needs to know was written down.
import { isRisky, type Job, riskyAttempts } from "../fixtures/chaos/job.js"
import type { Entry } from "../fixtures/chaos/journal.js"
import type { Ledger } from "../fixtures/chaos/ledger.js"
import type { Life } from "./fleet.js"
import type { Batch, Schedule } from "./schedule.js"

/** When a server was away or silent. */
export interface Outage {
  readonly from: number
  readonly to: number
}

export interface Evidence {
  readonly schedule: Schedule
  /** The batches that were answered as accepted. */
  readonly answered: ReadonlyArray<Batch>
  readonly ledger: Ledger
  readonly journal: ReadonlyArray<Entry>
  readonly lives: ReadonlyArray<Life>
  readonly outages: ReadonlyArray<Outage>
}

/** What is wrong, and with which job, where it is one. */
export interface Problem {
  readonly job?: string
  readonly what: string
}

const groupBy = <A>(all: ReadonlyArray<A>, key: (a: A) => string) => {
  const groups = new Map<string, Array<A>>()
  for (const one of all) {
    const known = groups.get(key(one))
    if (known === undefined) groups.set(key(one), [one])
    else known.push(one)
  }
  return groups
}

/** Exactly one end for each accepted job, and its steps once each and in order. */
const jobProblems = ({ answered, ledger, schedule }: Evidence): ReadonlyArray<Problem> => {
  const effects = groupBy(ledger.effects, ({ key }) => key)
  const dead = groupBy(ledger.dead, ({ key }) => key)
  const steps = groupBy(ledger.steps, ({ key }) => key)
  const accepted = new Set(ledger.accepted.map(({ key }) => key))
  const pardoned = new Set(ledger.pardoned)
  const promised = new Set(answered.flatMap(({ jobs }) => jobs.map(({ key }) => key)))
  const jobs = schedule.batches.flatMap(({ jobs }) => jobs)
  const of = (job: Job): ReadonlyArray<string> => {
    const [done, given, stepped] = [effects, dead, steps].map((_) => _.get(job.key)?.length ?? 0) as [
      number,
      number,
      number
    ]
    if (!accepted.has(job.key)) {
      return [
        ...promised.has(job.key) ? ["was answered as accepted, and is unknown"] : [],
        ...done + given + stepped > 0 ? ["was not accepted, and was done"] : []
      ]
    }
    // What was pardoned may have lost all its attempts again, to dying processes.
    const expected = isRisky(job) && !(pardoned.has(job.key) && done === 1) ? [0, 1] : [1, 0]
    const order = (steps.get(job.key) ?? []).map(({ step }) => step).join()
    const wanted = job.kind === "steps" ? Array.from({ length: job.count }, (_, index) => index + 1).join() : ""
    return [
      ...done !== expected[0] || given !== expected[1]
        ? [
          `(${job.kind}) has ${done} effects and ${given} dead letters, not ${expected[0]} and ${expected[1]}` +
          (dead.get(job.key) ?? []).map(({ attempt, error }) => `; given up in attempt ${attempt}: ${error}`).join("")
        ]
        : [],
      ...order !== wanted ? [`has the steps ${order || "none"}, not ${wanted}`] : []
    ]
  }
  return [
    ...jobs.flatMap((job) => of(job).map((what) => ({ job: job.key, what }))),
    ...schedule.batches.filter((batch) => !batch.careless && !answered.includes(batch)).map(({ jobs }) => ({
      what: `nobody accepted the batch of ${jobs[0]!.key}`
    })),
    ...ledger.leftovers.map((what) => ({ what: `the engine still holds ${what}` }))
  ]
}

interface Run {
  readonly process: string
  readonly attempt: number
  readonly begun: number
  readonly ending: string | undefined
}

const runsOf = (entries: ReadonlyArray<Entry>): ReadonlyArray<Run> =>
  entries.flatMap((entry, index) => {
    if (entry.what !== "begun") return []
    const end = entries.slice(index + 1).find((_) =>
      _.process === entry.process && _.attempt === entry.attempt && !_.what.startsWith("step")
    )
    const { at, attempt, process } = entry
    return [{ process, attempt, begun: at, ending: end === undefined || end.what === "begun" ? undefined : end.what }]
  })

/** An attempt is begun again only when it was interrupted, and a risky job no more often than it may be. */
const attemptProblems = ({ journal, ledger, lives, schedule }: Evidence): ReadonlyArray<Problem> => {
  const kinds = new Map(schedule.batches.flatMap(({ jobs }) => jobs).map((job) => [job.key, job]))
  // A process that died in its drain may have handed back what it had no time to write down.
  const killedInDrain = new Set(
    lives.filter(({ signal, told }) => signal !== null && told.some((_) => _.signal === "SIGTERM")).map(({ name }) =>
      name
    )
  )
  // They have begun to count anew.
  const pardoned = new Set(ledger.pardoned)
  return [...groupBy(journal.filter(({ job }) => !pardoned.has(job)), ({ job }) => job)].flatMap(([job, entries]) =>
    [...groupBy(runsOf(entries), ({ attempt }) => String(attempt))].flatMap(([attempt, runs]) => [
      ...runs.slice(0, -1)
        .filter(({ ending, process }) =>
          ending !== "interrupted" && !(ending === undefined && killedInDrain.has(process))
        )
        .map(({ ending, process }) => ({
          job,
          what: `began attempt ${attempt} again, although its run in ${process} ${ending ?? "came to no end"}`
        })),
      ...isRisky(kinds.get(job)!) && Number(attempt) > riskyAttempts
        ? [{ job, what: `was begun in attempt ${attempt} of ${riskyAttempts}` }]
        : []
    ])
  )
}

/** Grace period, and what a machine that is busy may add to it. */
const latest = 6_000 + 20_000

const lifeProblems = ({ journal, lives, outages, schedule }: Evidence): ReadonlyArray<Problem> => {
  const kinds = new Map(schedule.batches.flatMap(({ jobs }) => jobs).map((job) => [job.key, job.kind]))
  return lives.flatMap(({ code, ended, name, ran, report, signal, spoke, started, told }) => {
    const own = journal.filter(({ process }) => process === name)
    const hurt = outages.some(({ from, to }) => from <= ended && started <= to + 15_000)
    const deaf = own.some(({ job }) => kinds.get(job) === "deaf")
    const sigterm = told.find(({ signal }) => signal === "SIGTERM")
    const frozen = told.filter(({ signal }) => signal === "SIGSTOP").length * 4_200
    const says = (what: string) => [{ what: `process ${name} ${what}` }]
    if (signal !== null) {
      if (!spoke && told.some((_) => _.signal === signal)) return []
      const poisoned = own.some(({ job }) => kinds.get(job) === "poison")
      const killed = told.some((_) => _.signal === "SIGKILL")
      return signal === "SIGKILL" && (killed || poisoned) ? [] : says(`was ended by ${signal}, which nobody had sent`)
    }
    if (sigterm === undefined) {
      return !ran && hurt && code === 1 ? [] : says(`ended by itself with ${code}`)
    }
    if (ended - sigterm.at > latest + frozen) return says(`took ${ended - sigterm.at} ms to end`)
    if (code === 0 || (!ran && hurt)) return []
    const drains = report?.drains ?? []
    const reasons = drains.filter((drain) =>
      drain.outcome === "Abandoned" || drain.cut > 0 || drain.failure !== undefined
    )
    if (code !== report?.exitCode) return says(`ended with ${code}, its report says ${report?.exitCode}`)
    // The embedded database cannot be told to stop opening.
    return reasons.length > 0 && (hurt || deaf || report?.from === "Starting")
      ? []
      : says(`ended with ${code} without a reason: ${JSON.stringify(report)}`)
  })
}

export const verdict = (evidence: Evidence): ReadonlyArray<Problem> => [
  ...jobProblems(evidence),
  ...attemptProblems(evidence),
  ...lifeProblems(evidence)
]
