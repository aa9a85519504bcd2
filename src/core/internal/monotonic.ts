import { type Clock, Duration, Effect } from "effect"

/**
 * Milliseconds of a clock that is never set: intervals are measured by it, because the system's time may be set back or
 * forward meanwhile. Only differences have a meaning.
 */
export const unsafeMonotonicMillis = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / 1e6

/** The same, as an effect. Not `Clock.currentTimeNanos`: that of the TestClock dies at a part of a nanosecond. */
export const monotonicMillis: Effect.Effect<number> = Effect.map(Effect.clock, unsafeMonotonicMillis)

/** An interval as reports show it: in whole milliseconds. */
export const wholeMillis = (millis: number): Duration.Duration => Duration.millis(Math.round(millis))
