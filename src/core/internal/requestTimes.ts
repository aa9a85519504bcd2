import { Clock, Duration, Effect, Option } from "effect"
import type { Service } from "../Shutdown.js"

/** The times of a shutdown, counted from the instant of its request. `now` is on the same clock as that instant. */
export const makeRequestTimes = (
  requestedAt: () => Option.Option<number>,
  now: Effect.Effect<number>,
  gracePeriod: number
): Pick<Service, "deadline" | "remaining" | "elapsed"> => {
  const since = Effect.map(now, (now) => Option.map(requestedAt(), (at) => now - at))
  const left = (since: number) => Duration.millis(Math.max(0, gracePeriod - since))
  return {
    deadline: Effect.zipWith(
      since,
      Clock.currentTimeMillis,
      (since, wallTime) => Option.map(since, (since) => wallTime + gracePeriod - since)
    ),
    remaining: Effect.map(since, Option.match({ onNone: () => Duration.infinity, onSome: left })),
    elapsed: Effect.map(since, (since) => Duration.millis(Option.getOrElse(since, () => 0)))
  }
}
