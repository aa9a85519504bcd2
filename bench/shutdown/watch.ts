/** Prints the heap in bytes on SIGUSR2, measures the longest delay of the event loop from then on, and prints it when the process ends. */
import { monitorEventLoopDelay } from "node:perf_hooks"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

const delays = monitorEventLoopDelay({ resolution: 5 })

process.on("SIGUSR2", () => {
  setFlagsFromString("--expose-gc")
  runInNewContext("gc")()
  process.stdout.write(`heap ${process.memoryUsage().heapUsed}\n`)
  // What the collection has held up comes first.
  setTimeout(() => {
    delays.enable()
    delays.reset()
    process.stdout.write("watching\n")
  }, 200)
})

process.once("exit", () => {
  if (delays.count > 0) process.stdout.write(`blocked ${Math.round(delays.max / 1e6)}\n`)
})
