import { Deferred, Duration, Effect, Option, type TestClock } from "effect"
import type { Lifecycle } from "../../core/Lifecycle.js"
import type { Stuck } from "./hints.js"
import { advance, idle, lookAtClock, nextTimer, testClock } from "./idle.js"

/** What is wrong, in one line, in the words of the call that waits. */
export const refuse = (wait: string, why: Option.Option<string>): Effect.Effect<void> =>
  Option.match(why, { onNone: () => Effect.void, onSome: (why) => Effect.die(new Error(`${wait}: ${why}`)) })

/**
 * The waits of a test for its app. Under the TestClock each dies, with a line that says why, once nothing moves any more. An
 * exploration sees by itself that nothing moves, and moves its clock by itself.
 */
export const watch = (
  lifecycle: Lifecycle,
  { misused, within }: {
    /** Dies when the app is used as it must not be. */
    readonly misused: Effect.Effect<never>
    /** The real time after which nothing is expected to move any more. */
    readonly within: Duration.Duration
  }
) => {
  const { config } = lifecycle.shutdown
  const look = (clock: TestClock.TestClock) =>
    Effect.zipWith(lifecycle.snapshot, lookAtClock(clock), ({ events, resources }, ofClock) => [
      events.length,
      resources.length,
      ...ofClock
    ])
  const giveUp = (clock: TestClock.TestClock, explain: (stuck: Stuck) => string): Effect.Effect<never> =>
    Effect.flatMap(
      Effect.all({ snapshot: lifecycle.snapshot, next: nextTimer(clock) }),
      (known) => Effect.die(new Error(explain({ ...known, config })))
    )

  /** Waits. Does not move the clock. */
  const orGiveUp = <A>(wait: Effect.Effect<A>, explain: (stuck: Stuck) => string): Effect.Effect<A> =>
    Effect.flatMap(
      testClock,
      Option.match({
        onNone: () => wait,
        onSome: (clock) =>
          Effect.interruptible(wait).pipe(
            Effect.raceFirst(misused),
            Effect.raceFirst(Effect.zipRight(idle(look(clock), within), giveUp(clock, explain)))
          )
      })
    )

  /** Waits until the app has exited. Moves the clock, at most to the deadline and what may follow it. */
  const advanceToExit = (exit: Deferred.Deferred<number>, explain: (stuck: Stuck) => string): Effect.Effect<number> =>
    Effect.flatMap(
      testClock,
      Option.match({
        onNone: () => Deferred.await(exit),
        onSome: (clock) =>
          advance(clock, {
            done: Deferred.isDone(exit),
            look: look(clock),
            most: Duration.sum(config.gracePeriod, Duration.minutes(1)),
            within
          }).pipe(
            Effect.zipRight(Deferred.poll(exit)),
            Effect.flatMap(Option.getOrElse(() => giveUp(clock, explain)))
          )
      })
    )

  return { orGiveUp, advanceToExit }
}
