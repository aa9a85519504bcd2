/** The common part of the programs under test: one connection, and a table of 1,000 rows. */
import { createInterface } from "node:readline"

export const { URL: url = "" } = process.env

export const lookUp = "SELECT id, n FROM bench WHERE id = $1"
export const count = "UPDATE bench SET n = n + 1 WHERE id = $1"

/** What is measured. Each runs the given number of operations, one after the other. */
export interface Operations {
  /** A look-up by primary key. */
  readonly statement: (times: number) => Promise<unknown>
  /** A transaction with one update by primary key. */
  readonly transaction: (times: number) => Promise<unknown>
}

/** Reads `operation times` from stdin, and prints the wall and CPU time of each operation in microseconds. */
export const serve = async (operations: Operations) => {
  console.log("ready")
  for await (const line of createInterface({ input: process.stdin })) {
    const [operation, times] = line.split(" ") as [keyof Operations, string]
    const cpu = process.cpuUsage()
    const from = performance.now()
    await operations[operation](Number(times))
    const wall = (performance.now() - from) * 1000
    const { system, user } = process.cpuUsage(cpu)
    console.log(`${wall / Number(times)} ${(system + user) / Number(times)}`)
  }
}
