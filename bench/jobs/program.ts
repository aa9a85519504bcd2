/** The common part of the programs under test. They print one line for each event, which `run.ts` parses. */

/**
 * Environment: the number of quick jobs to offer (`OFFER`), and of jobs that never end (`LONG`); what a quick job does
 * (`WORK`): `nothing`, or write a `row`; how many run at a time (`CONCURRENCY`).
 */
const { CONCURRENCY = "10", LONG = "0", OFFER = "0", WORK = "nothing" } = process.env

/** Environment: the name of the queue, and the URL of the server. */
export const { NAME = "bench", URL: url = "" } = process.env
/** Environment: the URL of PostgreSQL, where jobs of another server write their rows. */
export const { POSTGRES: postgresUrl = "" } = process.env

/** Environment: whether to print the number of acknowledged jobs ten times a second, with the moment of the last one and the CPU time in microseconds. */
const { PROGRESS } = process.env

/** The number of jobs that run at a time. */
export const concurrency = Number(CONCURRENCY)
/** Whether a job inserts a row into the table `results`, in the transaction that acknowledges it where there is one. */
export const writesRow = WORK === "row"
/** How long running jobs may continue after SIGTERM, in milliseconds. */
export const stopTimeout = 500

export interface Job {
  /** Whether the job never ends. */
  readonly long: boolean
  /** Whose start is printed, if it has one. */
  readonly number?: number
}

export const printLine = (...words: ReadonlyArray<string | number>) => process.stdout.write(`${words.join(" ")}\n`)

export const now = () => performance.timeOrigin + performance.now()

/** The jobs that a program offers before its worker starts. */
export const offeredJobs: ReadonlyArray<Job> = [
  ...Array.from({ length: Number(OFFER) }, () => ({ long: false })),
  ...Array.from({ length: Number(LONG) }, () => ({ long: true }))
]

let acknowledged = 0
let started = 0
let running = 0
let cpu = process.cpuUsage()

/** Prints the start of the first long job, when all of them run, and the start of the first quick job. */
export const jobStarted = (job: Job, attempt: number) => {
  if (job.long) {
    if (++running === 1) printLine("started", now(), attempt)
    if (running === Number(LONG)) printLine("all", now())
  } else if (job.number !== undefined) printLine(`started${job.number}`, now())
  else if (started++ === 0) {
    cpu = process.cpuUsage()
    printLine("first", now())
  }
}

let lastAt = 0
let printed = 0
if (PROGRESS !== undefined) {
  setInterval(() => {
    if (printed === acknowledged) return
    printed = acknowledged
    const { system, user } = process.cpuUsage()
    printLine("progress", acknowledged, lastAt, system + user)
  }, 100).unref()
}

/** Counts acknowledged quick jobs, and prints the CPU time of each after the last one that the program has offered. */
export const jobAcknowledged = () => {
  lastAt = now()
  if (++acknowledged !== Number(OFFER)) return
  const { system, user } = process.cpuUsage(cpu)
  printLine("last", now(), (system + user) / acknowledged)
}
