import { Chunk, Clock, Duration, Effect, Option, type TestClock } from "effect"
import { unsafeMonotonicMillis } from "../../core/internal/monotonic.js"
import { VirtualClock } from "./virtualClock.js"

/** The TestClock; none where another clock is in its place. */
export const testClock: Effect.Effect<Option.Option<TestClock.TestClock>> = Effect.map(
  Effect.clock,
  (clock) => "adjust" in clock && "sleeps" in clock ? Option.some(clock as TestClock.TestClock) : Option.none()
)

/** Why a test cannot run on its clock; none under the TestClock and in an exploration. */
export const refuseClock: Effect.Effect<Option.Option<string>> = Effect.zipWith(
  Effect.clock,
  testClock,
  (clock, testClock) =>
    Option.isSome(testClock) || clock instanceof VirtualClock
      ? Option.none()
      : Option.some("the clock is not the TestClock: use it.effect or it.scoped, not it.live")
)

/** By its monotonic time, as its sleeps are: a test may set the wall time. */
const instantOf = (clock: TestClock.TestClock) => Effect.sync(() => unsafeMonotonicMillis(clock))

/** The time from one instant to a later one, rounded up to what moves the clock: a `Duration` has whole nanoseconds. */
const durationTo = (now: number, next: number): Duration.Duration => {
  const rounded = Duration.millis(next - now)
  return now + Duration.toMillis(rounded) >= next ? rounded : Duration.sum(rounded, Duration.nanos(1n))
}

/** The time to the next timer; none when no timer is set. */
export const nextTimer = (clock: TestClock.TestClock): Effect.Effect<Option.Option<Duration.Duration>> =>
  Effect.zipWith(clock.sleeps, instantOf(clock), (sleeps, now) => {
    const next = Math.min(...Chunk.toReadonlyArray(sleeps).filter((instant) => instant > now))
    return Number.isFinite(next) ? Option.some(durationTo(now, next)) : Option.none()
  })

/** A look at everything that changes while something moves. Two equal looks: nothing has moved between them. */
export type Look = Effect.Effect<ReadonlyArray<unknown>>

/** The time and the number of timers, for a `Look`. */
export const lookAtClock = (clock: TestClock.TestClock): Look =>
  Effect.zipWith(instantOf(clock), clock.sleeps, (now, sleeps) => [now, Chunk.size(sleeps)])

const sameLook = (before: ReadonlyArray<unknown>, after: ReadonlyArray<unknown>): boolean =>
  before.every((value, index) => value === after[index])

const lookEvery = 5

/** Real time, in which the event loop does its I/O. A blocked event loop makes it longer. */
const turns = Effect.withClock(Effect.sleep(Duration.millis(lookEvery)), Clock.make())

/** The number of looks that take so long in real time, or longer where the process is busy or starved of CPU. */
const looksWithin = (within: Duration.Duration): number => Math.ceil(Duration.toMillis(within) / lookEvery)

/**
 * Completes when nothing has moved for so long in real time. Counts looks rather than time: a blocked event loop is no
 * waiting one.
 */
export const idle = (look: Look, within: Duration.Duration): Effect.Effect<void> =>
  Effect.gen(function*() {
    let last = yield* look
    for (let same = 0; same < looksWithin(within);) {
      yield* turns
      const now = yield* look
      same = sameLook(last, now) ? same + 1 : 0
      last = now
    }
  })

/**
 * Moves the clock from timer to timer until `done`, each time only when nothing moves any more: work that takes many turns
 * of the event loop takes no virtual time. Gives up when no timer is set and nothing has moved for `within` in real time, and
 * when the clock would move further than `most`.
 */
export const advance = (
  clock: TestClock.TestClock,
  { done, look, most, within }: {
    readonly done: Effect.Effect<boolean>
    readonly look: Look
    readonly most: Duration.Duration
    readonly within: Duration.Duration
  }
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const last = (yield* instantOf(clock)) + Duration.toMillis(most)
    const hasMoved = Effect.gen(function*() {
      const before = yield* look
      yield* clock.adjust(0)
      return !sameLook(before, yield* look)
    })
    for (let same = 0; same < looksWithin(within) && !(yield* done);) {
      same = (yield* hasMoved) ? 0 : same + 1
      if (same === 0) continue
      const next = yield* nextTimer(clock)
      if (Option.isNone(next)) yield* turns
      else if ((yield* instantOf(clock)) + Duration.toMillis(next.value) > last) return
      else {
        yield* clock.adjust(next.value)
        same = 0
      }
    }
  })
