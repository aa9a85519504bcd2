import { type Duration, Effect, type Scope, SubscriptionRef } from "effect"
import type { JobSourceError } from "../JobSource.js"
import type { QueueControl } from "../QueueControl.js"
import * as WakeUp from "./wakeUp.js"

/** Keeps track of which queues of a source are paused: by its messages, and by a look at all of them at every poll interval. */
export interface PausedQueues {
  /** Reads whether the queue is paused, and keeps it up to date until the scope closes. */
  readonly open: (
    queue: { readonly name: string; readonly write: (paused: boolean) => Effect.Effect<void, JobSourceError> }
  ) => Effect.Effect<Pick<QueueControl, "paused" | "setPaused">, JobSourceError, Scope.Scope>
  /** A message may have been missed, or says that a queue was paused or resumed. */
  readonly look: Effect.Effect<void>
}

export const makePausedQueues = (options: {
  readonly pollInterval: Duration.Duration
  /** Those of these queues that are paused. */
  readonly read: (names: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<string>, JobSourceError>
}): Effect.Effect<PausedQueues, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { pollInterval, read } = options
    const queues = new Set<{ readonly name: string; readonly ref: SubscriptionRef.SubscriptionRef<boolean> }>()
    const wakeUp = yield* WakeUp.make(pollInterval)
    // A look that began before a change must not undo it.
    const turn = yield* Effect.makeSemaphore(1)

    const set = (ref: SubscriptionRef.SubscriptionRef<boolean>, paused: boolean) =>
      Effect.flatMap(SubscriptionRef.get(ref), (was) => was === paused ? Effect.void : SubscriptionRef.set(ref, paused))

    const lookAtAll = Effect.suspend(() => {
      const looked = Array.from(queues)
      if (looked.length === 0) return Effect.void
      return Effect.flatMap(read(looked.map(({ name }) => name)), (names) => {
        const paused = new Set(names)
        return Effect.forEach(looked, ({ name, ref }) => set(ref, paused.has(name)), { discard: true })
      })
    })

    yield* Effect.forkScoped(Effect.interruptible(
      wakeUp.wait.pipe(
        Effect.zipRight(wakeUp.reset),
        Effect.zipRight(turn.withPermits(1)(lookAtAll)),
        Effect.catchAllCause((cause) => Effect.logDebug("Paused queues could not be looked for, trying again", cause)),
        Effect.forever
      )
    ))

    return {
      look: wakeUp.notify,
      open: ({ name, write }) =>
        Effect.gen(function*() {
          const ref = yield* Effect.flatMap(read([name]), (names) => SubscriptionRef.make(names.length > 0))
          const entry = { name, ref }
          yield* Effect.acquireRelease(
            Effect.sync(() => queues.add(entry)),
            () => Effect.sync(() => queues.delete(entry))
          )
          return {
            paused: ref,
            setPaused: (paused) =>
              turn.withPermits(1)(Effect.uninterruptible(
                Effect.zipRight(
                  write(paused),
                  Effect.forEach(queues, (queue) => queue.name === name ? set(queue.ref, paused) : Effect.void, {
                    discard: true
                  })
                )
              ))
          }
        })
    }
  })
