import { Duration, Effect, type Scope } from "effect"
import { monotonicMillis } from "../../../core/internal/monotonic.js"
import { jittered } from "./jittered.js"

/** Wakes the pool that waits for jobs of one queue. Waiting holds no connection and no job. */
export interface WakeUp {
  /** There may be a job to claim: `wait` completes. */
  readonly notify: Effect.Effect<void>
  /** Forgets earlier notifications. Runs before a claim, so that one which arrives during the claim is kept. */
  readonly reset: Effect.Effect<void>
  /** The claim found no job, and the next one is due in this many milliseconds, if the engine knows of one. */
  readonly setDue: (millis: number | undefined) => Effect.Effect<void>
  /** Completes after a notification, when the next job is due, or after the poll interval. */
  readonly wait: Effect.Effect<void>
}

/** A due job that could not be claimed belongs to another process, so looking again at once would only spin. */
const shortestDelay = 50

/** Starts notified, because the queue has not been looked at yet. */
export const make = (pollInterval: Duration.Duration): Effect.Effect<WakeUp> =>
  Effect.map(Effect.makeLatch(true), (latch): WakeUp => {
    let dueAt = Number.POSITIVE_INFINITY
    return {
      notify: latch.open,
      reset: latch.close,
      setDue: (millis) =>
        Effect.map(monotonicMillis, (now) => {
          dueAt = millis === undefined ? Number.POSITIVE_INFINITY : now + Math.max(millis, shortestDelay)
        }),
      // Interruptible also when an uninterruptible region runs it: there a race waits for its loser.
      wait: Effect.interruptible(Effect.gen(function*() {
        const now = yield* monotonicMillis
        const poll = Duration.toMillis(yield* jittered(pollInterval))
        yield* Effect.raceFirst(latch.await, Effect.sleep(Math.ceil(Math.max(0, Math.min(poll, dueAt - now)))))
      }))
    }
  })

/** A queue of this process, and what wakes its pool. */
export interface Waiting {
  readonly name: string
  readonly wakeUp: WakeUp
}

/** Makes what wakes the pool of this queue, which is among `queues` until the scope closes. */
export const register = (
  queues: Set<Waiting>,
  name: string,
  pollInterval: Duration.Duration
): Effect.Effect<WakeUp, never, Scope.Scope> =>
  Effect.flatMap(make(pollInterval), (wakeUp) => {
    const entry = { name, wakeUp }
    return Effect.as(
      Effect.acquireRelease(Effect.sync(() => queues.add(entry)), () => Effect.sync(() => queues.delete(entry))),
      wakeUp
    )
  })

/** Notifies every queue: sent when a subscription begins, because earlier messages are unknown. */
export const everyQueue = ""

/** Notifies the queue of this name, or every queue with `everyQueue`. */
export const notify = (
  queues: Iterable<Waiting>,
  name: string
): Effect.Effect<void> =>
  Effect.forEach(
    queues,
    (queue) => name === everyQueue || name === queue.name ? queue.wakeUp.notify : Effect.void,
    { discard: true }
  )
