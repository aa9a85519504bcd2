import { Effect } from "effect"
import type { QueueControl } from "../QueueControl.js"

/** Passes the messages about cancelled jobs that ran on to the pools of this process. */
export interface Cancellations {
  /** `QueueControl.onCancel` of a queue. */
  readonly open: (queue: string) => QueueControl["onCancel"]
  /** The job of this claim was cancelled. */
  readonly announce: (queue: string, token: string) => Effect.Effect<void>
  /** Reads a message of `messageOf`; none when it is another one. */
  readonly receive: (message: string) => Effect.Effect<void> | undefined
}

/** Neither the names of queues nor tokens have it: a token may have spaces. */
export const separator = "\n"
/** What an engine sends to all processes, which their older versions ignore: no queue has such a name. */
export const messagePrefix = "cancelled "
export const messageOf = (queue: string, token: string): string => `${messagePrefix}${queue}${separator}${token}`

export const makeCancellations = (): Cancellations => {
  const listeners = new Set<{ readonly queue: string; readonly run: (token: string) => Effect.Effect<void> }>()
  const announce = (queue: string, token: string) =>
    Effect.forEach(listeners, (listener) => listener.queue === queue ? listener.run(token) : Effect.void, {
      discard: true
    })
  return {
    announce,
    open: (queue) => (run) => {
      const listener = { queue, run }
      return Effect.asVoid(Effect.acquireRelease(
        Effect.sync(() => listeners.add(listener)),
        () => Effect.sync(() => listeners.delete(listener))
      ))
    },
    receive: (message) => {
      if (!message.startsWith(messagePrefix)) return undefined
      const [queue, token] = message.slice(messagePrefix.length).split(separator)
      return announce(queue!, token!)
    }
  }
}
