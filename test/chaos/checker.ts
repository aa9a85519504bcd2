// Checks the history of a round against what the service promises. A pure function.
import { isRisky, type Job, riskyAttempts } from "../fixtures/chaos/job.js"
import type { Entry } from "../fixtures/chaos/journal.js"
import type { Ledger } from "../fixtures/chaos/ledger.js"
import type { Life } from "./cluster.js"
import type { Batch, Schedule } from "./schedule.js"

/** When a server was down or frozen. */
export interface Outage {
  readonly from: number
  readonly to: number
}

/** Everything that is recorded of a round. */
export interface History {
  readonly schedule: Schedule
  /** The batches whose clients got a response that accepts them. */
  readonly acknowledged: ReadonlyArray<Batch>
  readonly ledger: Ledger
  readonly journal: ReadonlyArray<Entry>
  readonly lives: ReadonlyArray<Life>
  readonly outages: ReadonlyArray<Outage>
}

/** A broken promise, and the job that it concerns, if any. */
export interface Violation {
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

/** Each accepted job has exactly one effect or dead letter, and each of its steps once and in order. */
const jobViolations = ({ acknowledged, ledger, schedule }: History): ReadonlyArray<Violation> => {
  const effects = groupBy(ledger.effects, ({ key }) => key)
  const dead = groupBy(ledger.dead, ({ key }) => key)
  const steps = groupBy(ledger.steps, ({ key }) => key)
  const accepted = new Set(ledger.accepted.map(({ key }) => key))
  const redriven = new Set(ledger.redriven)
  const promised = new Set(acknowledged.flatMap(({ jobs }) => jobs.map(({ key }) => key)))
  const jobs = schedule.batches.flatMap(({ jobs }) => jobs)
  const check = (job: Job): ReadonlyArray<string> => {
    const [done, died, stepped] = [effects, dead, steps].map((_) => _.get(job.key)?.length ?? 0) as [
      number,
      number,
      number
    ]
    if (!accepted.has(job.key)) {
      return [
        ...promised.has(job.key) ? ["was acknowledged, but is unknown"] : [],
        ...done + died + stepped > 0 ? ["was not accepted, but has run"] : []
      ]
    }
    // A redriven job may lose all attempts a second time, to killed processes.
    const expected = isRisky(job) && !(redriven.has(job.key) && done === 1) ? [0, 1] : [1, 0]
    const actual = (steps.get(job.key) ?? []).map(({ step }) => step).join()
    const expectedSteps = job.kind === "steps" ? Array.from({ length: job.count }, (_, index) => index + 1).join() : ""
    return [
      ...done !== expected[0] || died !== expected[1]
        ? [
          `(${job.kind}) has ${done} effects and ${died} dead letters, not ${expected[0]} and ${expected[1]}` +
          (dead.get(job.key) ?? []).map(({ attempt, error }) => `; dead after attempt ${attempt}: ${error}`).join("")
        ]
        : [],
      ...actual !== expectedSteps ? [`has the steps ${actual || "none"}, not ${expectedSteps}`] : []
    ]
  }
  return [
    ...jobs.flatMap((job) => check(job).map((what) => ({ job: job.key, what }))),
    ...schedule.batches.filter((batch) => !batch.sentOnce && !acknowledged.includes(batch)).map(({ jobs }) => ({
      what: `no process accepted the batch of ${jobs[0]!.key}`
    })),
    ...ledger.unfinished.map((what) => ({ what: `the engine still holds ${what}` }))
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

/** An attempt begins again only after an interruption, and a risky job has no more attempts than allowed. */
const attemptViolations = ({ journal, ledger, lives, schedule }: History): ReadonlyArray<Violation> => {
  const kinds = new Map(schedule.batches.flatMap(({ jobs }) => jobs).map((job) => [job.key, job]))
  // A process that is killed while it drains may hand a job back before it writes the entry.
  const killedInDrain = new Set(
    lives.filter(({ signal, signals }) => signal !== null && signals.some((_) => _.signal === "SIGTERM")).map((
      { name }
    ) => name)
  )
  // Their attempts are counted from 1 again.
  const redriven = new Set(ledger.redriven)
  return [...groupBy(journal.filter(({ job }) => !redriven.has(job)), ({ job }) => job)].flatMap(([job, entries]) =>
    [...groupBy(runsOf(entries), ({ attempt }) => String(attempt))].flatMap(([attempt, runs]) => [
      ...runs.slice(0, -1)
        .filter(({ ending, process }) =>
          ending !== "interrupted" && !(ending === undefined && killedInDrain.has(process))
        )
        .map(({ ending, process }) => ({
          job,
          what: `began attempt ${attempt} again, although its run in ${process} ${ending ?? "did not end"}`
        })),
      ...isRisky(kinds.get(job)!) && Number(attempt) > riskyAttempts
        ? [{ job, what: `began attempt ${attempt} of ${riskyAttempts}` }]
        : []
    ])
  )
}

/** The grace period, and what a busy machine may add to it. */
const longestStop = 6_000 + 20_000

/** Each process ends in time, by the signal that it was sent, with an exit code that its report explains. */
const lifeViolations = ({ journal, lives, outages, schedule }: History): ReadonlyArray<Violation> => {
  const kinds = new Map(schedule.batches.flatMap(({ jobs }) => jobs).map((job) => [job.key, job.kind]))
  return lives.flatMap(({ code, ended, hasOutput, hasRun, name, report, signal, signals, started }) => {
    const own = journal.filter(({ process }) => process === name)
    const hadOutage = outages.some(({ from, to }) => from <= ended && started <= to + 15_000)
    const ignoresInterrupt = own.some(({ job }) => kinds.get(job) === "ignoresInterrupt")
    const sigterm = signals.find(({ signal }) => signal === "SIGTERM")
    const frozen = signals.filter(({ signal }) => signal === "SIGSTOP").length * 4_200
    const violation = (what: string) => [{ what: `process ${name} ${what}` }]
    if (signal !== null) {
      if (!hasOutput && signals.some((_) => _.signal === signal)) return []
      const poisoned = own.some(({ job }) => kinds.get(job) === "poison")
      const killed = signals.some((_) => _.signal === "SIGKILL")
      return signal === "SIGKILL" && (killed || poisoned)
        ? []
        : violation(`was ended by ${signal}, which it was not sent`)
    }
    if (sigterm === undefined) {
      return !hasRun && hadOutage && code === 1 ? [] : violation(`ended by itself with ${code}`)
    }
    if (ended - sigterm.at > longestStop + frozen) return violation(`took ${ended - sigterm.at} ms to end`)
    if (code === 0 || (!hasRun && hadOutage)) return []
    const drains = report?.drains ?? []
    const reasons = drains.filter((drain) =>
      drain.outcome === "Abandoned" || drain.cut > 0 || drain.failure !== undefined
    )
    if (code !== report?.exitCode) return violation(`ended with ${code}, its report says ${report?.exitCode}`)
    // The start of the embedded database cannot be interrupted.
    return reasons.length > 0 && (hadOutage || ignoresInterrupt || report?.from === "Starting")
      ? []
      : violation(`ended with ${code} without a reason: ${JSON.stringify(report)}`)
  })
}

export const check = (history: History): ReadonlyArray<Violation> => [
  ...jobViolations(history),
  ...attemptViolations(history),
  ...lifeViolations(history)
]
