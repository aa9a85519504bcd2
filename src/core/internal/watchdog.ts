import { Worker } from "node:worker_threads"

/**
 * The function `kill(reason)` for the program of a thread: it writes one line to stderr, and kills the process.
 *
 * A pipe that is full must not delay the kill, so pipes and terminals are opened a second time, without blocking. For
 * process 1 of a container the kernel ignores a SIGKILL from within, but no breakpoint trap.
 */
export const killSelf = `
const kill = (reason) => {
  const { constants, fstatSync, openSync, writeSync } = require("node:fs")
  const stderr = () => {
    try {
      return fstatSync(2).isFile() ? 2 : openSync("/proc/self/fd/2", constants.O_WRONLY | constants.O_NONBLOCK)
    } catch {
      return 2
    }
  }
  try {
    writeSync(stderr(), "lastcall: kills the process" + reason + "\\n")
  } catch {}
  process.kill(process.pid, "SIGKILL")
  require("node:v8").setFlagsFromString("--allow-natives-syntax")
  new (require("node:vm").Script)("%SystemBreak()").runInThisContext()
}
`

/**
 * Runs on a thread of its own, as text, so that it needs no file beside the bundle. Shortly before the deadline it asks the
 * main thread what keeps the process; at the deadline it kills the process.
 */
const program = `
${killSelf}
const { parentPort, workerData } = require("node:worker_threads")

const remaining = Number(workerData.deadline - process.hrtime.bigint()) / 1e6
let reason = "its event loop is blocked"
parentPort.once("message", (answer) => {
  reason = answer
})
setTimeout(() => parentPort.postMessage("what keeps the process?"), Math.max(0, remaining - 250))
setTimeout(() => kill(" at its deadline: " + reason), Math.max(0, remaining))
`

/** Kills this process at the deadline, an instant of `process.hrtime`, unless it is stopped. `reason` says what keeps it. */
export const startWatchdog = (deadline: bigint, reason: () => string): Worker => {
  const worker = new Worker(program, { eval: true, env: {}, execArgv: [], workerData: { deadline } })
  // Without a thread for it there is no watchdog; the shutdown itself goes on.
  worker.on("error", () => undefined)
  worker.on("message", () => worker.postMessage(reason()))
  worker.unref()
  return worker
}
