// Checks the history of a round of Kafka against what a transactional consumer promises. A pure function.
import type { Entry } from "../../fixtures/chaos/journal.js"
import { type Place, placeOf } from "../../fixtures/kafka/chaosRecord.js"
import type { Violation } from "../checker.js"
import type { Life } from "../cluster.js"
import type { Record, Schedule } from "./schedule.js"

export interface EffectRow extends Place {
  readonly key: string
}

export interface DeadLetter {
  /** The place of its record. */
  readonly record: string
  readonly error: string
}

/** Everything that is recorded of a round. */
export interface History {
  readonly schedule: Schedule
  /** In the order in which they were written. */
  readonly effects: ReadonlyArray<EffectRow>
  readonly dead: ReadonlyArray<DeadLetter>
  /** The position of each partition that has not reached its end. */
  readonly unfinished: ReadonlyArray<string>
  readonly journal: ReadonlyArray<Entry>
  readonly lives: ReadonlyArray<Life>
}

const countBy = (names: ReadonlyArray<string>) => {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}

const wasFrozen = ({ signals }: Life) => signals.some(({ signal }) => signal === "SIGSTOP")

/** So many processes may end at a record before it becomes a dead letter. */
const mostDeaths = 3

/** Each record has one effect, or is a dead letter: one that fails, or at which so many processes have ended. */
const recordViolations = ({ dead, effects, journal, lives, schedule }: History): ReadonlyArray<Violation> => {
  const written = countBy(effects.map(placeOf))
  const letters = new Map(dead.map((letter) => [letter.record, letter]))
  const ended = new Set(lives.filter((life) => life.signal !== null || wasFrozen(life)).map(({ name }) => name))
  // A batch that is taken counts for each of its records.
  const hasBegun = ({ what }: Entry) => what === "begun" || what === "taken"
  const deathsAt = (record: string) =>
    new Set(
      journal.filter((entry) => entry.job === record && hasBegun(entry) && ended.has(entry.process)).map(
        ({ process }) => process
      )
    ).size
  const check = (record: Record): string | undefined => {
    const place = placeOf(record)
    const { kind } = record.work
    const count = written.get(place) ?? 0
    const letter = letters.get(place)
    const mustDie = kind === "failing" || kind === "poison"
    const mayDie = letter?.error.startsWith("ProcessEnded") === true && deathsAt(place) >= mostDeaths
    if (mustDie || mayDie ? count === 0 && letter !== undefined : count === 1 && letter === undefined) return undefined
    return `(${kind}) has ${count} effects and ${letter === undefined ? "no" : "a"} dead letter` +
      (letter === undefined ? "" : `: ${letter.error}`)
  }
  return [...schedule.early, ...schedule.late].flatMap((record) => {
    const what = check(record)
    return what === undefined ? [] : [{ job: placeOf(record), what }]
  })
}

const orderViolations = ({ effects, schedule }: History): ReadonlyArray<Violation> => {
  const last = new Map<string, EffectRow>()
  return effects.flatMap((row) => {
    const lane = `${row.topic}/${row.partition} ${schedule.order === "key" ? row.key : ""}`
    const before = last.get(lane)
    last.set(lane, row)
    return before === undefined || before.offset < row.offset
      ? []
      : [{ job: placeOf(row), what: `is written after ${placeOf(before)}, which has the same order` }]
  })
}

/**
 * What is done does not begin again. A process that was frozen may begin what another one has done meanwhile, and so may a retry
 * of a member that does not know that it is lost; neither can write.
 */
const repetitionViolations = ({ journal, lives }: History): ReadonlyArray<Violation> => {
  const frozen = new Set(lives.filter(wasFrozen).map(({ name }) => name))
  const done = new Map<string, Entry>()
  return journal.flatMap((entry) => {
    const { attempt, job, process, what } = entry
    if (what === "done" && !done.has(job)) done.set(job, entry)
    const before = done.get(job)
    return what === "begun" && attempt === 1 && before !== undefined && before.at < entry.at && !frozen.has(process)
      ? [{ job, what: `began again in ${process}, although it was done in ${before.process}` }]
      : []
  })
}

/** The grace period, and what a busy machine may add to it. */
const longestStop = 7_000 + 20_000

/** Each process ends in time, by the signal that it was sent, or because the driver has given up. */
const lifeViolations = ({ journal, lives, schedule }: History): ReadonlyArray<Violation> => {
  const poison = new Set(
    [...schedule.early, ...schedule.late].filter(({ work }) => work.kind === "poison").map(placeOf)
  )
  return lives.flatMap(({ code, ended, hasOutput, killedItself, name, report, signal, signals }) => {
    const violation = (what: string) => [{ what: `process ${name} ${what}` }]
    const sigterm = signals.find(({ signal }) => signal === "SIGTERM")
    if (signal !== null) {
      if (!hasOutput && signals.some((_) => _.signal === signal)) return []
      const poisoned = journal.some(({ job, process }) => process === name && poison.has(job))
      const killed = signals.some((_) => _.signal === "SIGKILL")
      return signal === "SIGKILL" && (killed || poisoned || killedItself) ? [] : violation(`was ended by ${signal}`)
    }
    const frozen = signals.filter(({ signal }) => signal === "SIGSTOP").length * 5_000
    if (sigterm !== undefined && ended - sigterm.at > longestStop + frozen) {
      return violation(`took ${ended - sigterm.at} ms to end`)
    }
    if (code === 0) return sigterm === undefined ? violation("ended by itself") : []
    if (code !== report?.exitCode) return violation(`ended with ${code}, its report says ${report?.exitCode}`)
    const driver = report.failure?.includes("the Kafka client failed") === true || report.from === "Starting"
    const cut = sigterm !== undefined && report.drains.some(({ cut, outcome }) => cut > 0 || outcome === "Abandoned")
    return driver || cut ? [] : violation(`ended with ${code} without a reason: ${JSON.stringify(report)}`)
  })
}

export const check = (history: History): ReadonlyArray<Violation> => [
  ...recordViolations(history),
  ...orderViolations(history),
  ...repetitionViolations(history),
  ...history.unfinished.map((what) => ({ what })),
  ...lifeViolations(history)
]
