/** Measures the longest delay of the event loop after SIGUSR2, and prints it when the process ends. */
import { monitorEventLoopDelay } from "node:perf_hooks"

const delays = monitorEventLoopDelay({ resolution: 5 })

process.on("SIGUSR2", () => {
  delays.enable()
  delays.reset()
})

process.once("exit", () => {
  if (delays.count > 0) process.stdout.write(`blocked ${Math.round(delays.max / 1e6)}\n`)
})
