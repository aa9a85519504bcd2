import { Duration, Effect, Random } from "effect"

/** The duration, or up to a quarter more or less, so that processes do not all poll at the same moment. */
export const jittered = (duration: Duration.Duration): Effect.Effect<Duration.Duration> =>
  Effect.map(Random.nextRange(0.75, 1.25), (factor) => Duration.times(duration, factor))
