import { Deferred, Duration, Effect, Option, type Scope, type TestClock } from "effect"
import type { Lifecycle } from "../../core/Lifecycle.js"
import type { Stuck } from "./hints.js"
import { advance, idle, lookAtClock, nextTimer, testClock } from "./idle.js"

/** What is wrong, in one line, in the words of the call that waits. */
export const refuse = (wait: string, why: Option.Option<string>): Effect.Effect<void> =>
  Option.match(why, { onNone: () => Effect.void, onSome: (why) => Effect.die(new Error(`${wait}: ${why}`)) })

type Explain = (stuck: Stuck) => string

interface Watch {
  /** Waits. Does not move the clock. */
  readonly orGiveUp: <A>(wait: Effect.Effect<A>, explain: Explain) => Effect.Effect<A>
  /** Waits until the app has exited. Moves the clock, at most to the deadline and what may follow it. */
  readonly advanceToExit: (exit: Deferred.Deferred<number>, explain: Explain) => Effect.Effect<number>
}

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
): Effect.Effect<Watch, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { config } = lifecycle.shutdown
    let changes = 0
    const count = Effect.sync(() => {
      changes++
      return false
    })
    yield* Effect.forkScoped(lifecycle.follow(() => count))
    const look = (clock: TestClock.TestClock) => Effect.map(lookAtClock(clock), (ofClock) => [changes, ...ofClock])
    const giveUp = (clock: TestClock.TestClock, explain: Explain): Effect.Effect<never> =>
      Effect.flatMap(
        Effect.all({ snapshot: lifecycle.snapshot, next: nextTimer(clock) }),
        (known) => Effect.die(new Error(explain({ ...known, config })))
      )

    const orGiveUp: Watch["orGiveUp"] = (wait, explain) =>
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

    const advanceToExit: Watch["advanceToExit"] = (exit, explain) =>
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
  })
