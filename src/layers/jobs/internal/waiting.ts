import { Clock, Duration, Effect, Random } from "effect"

/**
 * Waiting for jobs of one queue, without holding anything: until somebody says that there may be some, until the next
 * one is due, or until it is time to look again because nobody may have been able to say so.
 */
export interface Waiting {
  /** There may be something to claim. */
  readonly open: Effect.Effect<void>
  /** Somebody looks now: what opens from here on is news. Say so before looking, or news that come meanwhile are lost. */
  readonly close: Effect.Effect<void>
  /** There is nothing, and there will be something in so many milliseconds, as far as is known. */
  readonly due: (millis: number | undefined) => Effect.Effect<void>
  readonly wait: Effect.Effect<void>
}

/** Initially open: nobody has looked yet. */
export const make = (pollInterval: Duration.Duration): Effect.Effect<Waiting> =>
  Effect.map(Effect.makeLatch(true), (latch): Waiting => {
    let dueAt = Number.POSITIVE_INFINITY
    return {
      open: latch.open,
      close: latch.close,
      due: (millis) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          // A job that is due and was not to be had is in somebody else's hands, or about to be: no need to spin.
          dueAt = millis === undefined ? Number.POSITIVE_INFINITY : now + Math.max(millis, 50)
        }),
      // Interruptible wherever it is called: the one that loses a race in an uninterruptible region is waited for.
      wait: Effect.interruptible(Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        // A quarter more or less, or all processes would look at the same moment.
        const poll = Duration.toMillis(pollInterval) * (yield* Random.nextRange(0.75, 1.25))
        yield* Effect.raceFirst(latch.await, Effect.sleep(Math.max(0, Math.min(poll, dueAt - now))))
      }))
    }
  })

/** Said in place of a queue's name: somebody has begun to listen, and does not know what was missed. */
export const anything = ""

/** There may be something in the queue of that name, or in `anything`. */
export const wake = (
  queues: Iterable<{ readonly name: string; readonly waiting: Waiting }>,
  name: string
): Effect.Effect<void> =>
  Effect.forEach(queues, (queue) => name === anything || name === queue.name ? queue.waiting.open : Effect.void, {
    discard: true
  })
