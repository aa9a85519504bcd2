import { Effect, Queue } from "effect"
import { makeTurns } from "./eventLoop.js"

/** Those that follow the changes of something. Without them, a change costs nothing. */
export interface Followers<in out Change> {
  readonly publish: (change: Change) => void
  /** Calls `step` with what is known, then with each later change, until it returns true. */
  readonly follow: (
    known: () => Iterable<Change>,
    step: (change: Change) => Effect.Effect<boolean>
  ) => Effect.Effect<void>
}

export const makeFollowers = <Change>(): Followers<Change> => {
  const queues = new Set<Queue.Queue<Change>>()
  return {
    publish: (change) => {
      for (const queue of queues) Queue.unsafeOffer(queue, change)
    },
    follow: (known, step) =>
      Effect.acquireUseRelease(
        Effect.map(Queue.unbounded<Change>(), (queue) => {
          for (const change of known()) Queue.unsafeOffer(queue, change)
          queues.add(queue)
          return queue
        }),
        (queue) => {
          const turns = makeTurns()
          const next = Effect.zipLeft(Effect.flatMap(Queue.take(queue), step), turns)
          return Effect.repeat(next, { until: (done) => done })
        },
        (queue) => Effect.sync(() => queues.delete(queue))
      )
  }
}
