import type { ChildProcess } from "node:child_process"
import { setTimeout } from "node:timers/promises"

export interface Usage {
  /** CPU time of the process, with its garbage collector, in microseconds. */
  readonly cpu: number
  /** Bytes of the heap and of buffers, after a garbage collection if one was asked for. */
  readonly heap: number
}

/** In a server: responds to `usageOf`. */
export const reportUsage = (): void => {
  process.on("message", async (collect) => {
    if (collect === true) {
      // Twice: what a finalizer or a timer holds is free after the second one.
      globalThis.gc!()
      await setTimeout(50)
      globalThis.gc!()
    }
    const { system, user } = process.cpuUsage()
    const { external, heapUsed } = process.memoryUsage()
    process.send!({ cpu: user + system, heap: heapUsed + external })
  })
  process.channel!.unref()
}

/** What a server has used until now. */
export const usageOf = (child: ChildProcess, collect = false): Promise<Usage> =>
  new Promise((resolve) => {
    child.once("message", resolve as (usage: unknown) => void)
    child.send(collect)
  })
