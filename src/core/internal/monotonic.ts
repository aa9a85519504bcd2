import { Clock, Duration, Effect } from "effect"

const toMillis = (nanos: bigint) => Number(nanos) / 1e6

/**
 * Milliseconds of a clock that nobody sets: intervals are measured by it, because the system's time may be set back or
 * forward meanwhile. Only differences have a meaning.
 */
export const monotonicMillis: Effect.Effect<number> = Effect.map(Clock.currentTimeNanos, toMillis)

/** The same, for code that is not an effect. */
export const unsafeMonotonicMillis = (clock: Clock.Clock): number => toMillis(clock.unsafeCurrentTimeNanos())

/** An interval as reports show it: in whole milliseconds. */
export const wholeMillis = (millis: number): Duration.Duration => Duration.millis(Math.round(millis))
