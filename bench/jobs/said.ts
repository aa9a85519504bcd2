/** What the programs under test say, a line each: `said("taken", ...)`. */

/** What every program is told by its environment: how many quick jobs to offer, and how many that never end. */
export const { LONG = "0", NAME = "bench", OFFER = "0", URL: url = "" } = process.env

/** How many jobs run at a time, and how long one that is under way may go on after SIGTERM, in milliseconds. */
export const concurrency = 10
export const patience = 500

export interface Job {
  /** A long one never ends by itself. */
  readonly long: boolean
}

export const say = (...words: ReadonlyArray<string | number>) => process.stdout.write(`${words.join(" ")}\n`)

export const now = () => performance.timeOrigin + performance.now()

/** The jobs that a program offers before it begins to work. */
export const offered: ReadonlyArray<Job> = [
  ...Array.from({ length: Number(OFFER) }, () => ({ long: false })),
  ...Array.from({ length: Number(LONG) }, () => ({ long: true }))
]

let ended = 0
let began = 0
let cpu = process.cpuUsage()

/** A job begins: says so of long ones. */
export const taken = (job: Job, attempt: number) => {
  if (job.long) say("taken", now(), attempt)
  else if (began++ === 0) {
    cpu = process.cpuUsage()
    say("first", now())
  }
}

/** A quick one has been acknowledged: after the last one, what all of them took. */
export const acknowledged = () => {
  if (++ended < Number(OFFER)) return
  const { system, user } = process.cpuUsage(cpu)
  say("last", now(), (system + user) / ended)
}
