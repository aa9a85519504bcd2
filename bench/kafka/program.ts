/** The common part of the programs under test. They print one line for each event, which `run.ts` parses. */

/**
 * Environment: the `BROKERS`, the `TOPIC` and how many records it has (`RECORDS`), how many are processed at a time
 * (`CONCURRENCY`), how long the handler of a record waits (`WAIT`, milliseconds), and what else distinguishes the program (`FORM`).
 */
const { BROKERS = "", CONCURRENCY = "1", RECORDS = "0", WAIT = "0" } = process.env

export const { FORM: form = "", GROUP: groupId = "bench", TOPIC: topic = "" } = process.env
export const brokers = BROKERS.split(",")
const records = Number(RECORDS)
export const concurrency = Number(CONCURRENCY)
/** In milliseconds; 0 for a handler that does nothing. */
export const wait = Number(WAIT)

const printLine = (...words: ReadonlyArray<string | number>) => process.stdout.write(`${words.join(" ")}\n`)

const now = () => performance.timeOrigin + performance.now()

let started = 0
let finished = 0
let cpu = process.cpuUsage()

/** Prints the start of the first record. */
export const recordsStarted = (count: number) => {
  if (started === 0) {
    cpu = process.cpuUsage()
    printLine("first", now())
  }
  started += count
}

/** Prints the end of the last record, with the CPU time of each in microseconds. */
export const recordsFinished = (count: number) => {
  finished += count
  if (finished !== records) return
  const { system, user } = process.cpuUsage(cpu)
  printLine("last", now(), (system + user) / finished)
}
