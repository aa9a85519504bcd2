import { type Duration, Schedule } from "effect"

/**
 * Delays that double from 100 milliseconds up to `cap`, each varied by up to a fifth, so that processes that lost the
 * same server do not reconnect at the same moment. Endless.
 */
export const backoff = (cap: Duration.DurationInput) =>
  Schedule.exponential("100 millis").pipe(Schedule.union(Schedule.spaced(cap)), Schedule.jittered)
