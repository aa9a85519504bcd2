import { Duration, Effect } from "effect"
import { durationOption } from "../../../core/internal/options.js"
import { JobSourceError, type QueueOptions } from "../JobSource.js"

/** The lease of a queue, its own or the source's. Refused unless it outlasts one failed renewal. */
export const queueLease = (
  { lease, name }: QueueOptions,
  sourceLease: Duration.Duration,
  renewEvery: Duration.Duration
): Effect.Effect<Duration.Duration, JobSourceError> =>
  Effect.suspend(() => {
    const shortest = Duration.times(renewEvery, 2)
    const own = durationOption(name, "lease", lease ?? sourceLease, { positive: true })
    if (Duration.greaterThanOrEqualTo(own, shortest)) return Effect.succeed(own)
    const cause = new Error(`its lease is shorter than ${Duration.format(shortest)}, two renewals`)
    return new JobSourceError({ operation: "open", queue: name, cause })
  })

/** How often leases are renewed: as the source says, and more often when the pool's own lease is short. */
export const renewalInterval = (
  renewEvery: Duration.Duration,
  lease: Duration.DurationInput | undefined
): Duration.Duration =>
  lease === undefined
    ? renewEvery
    : Duration.clamp(Duration.times(lease, 0.3), { minimum: Duration.millis(1), maximum: renewEvery })
