import { Duration } from "effect"

/** Why an engine refuses a lease: it must outlast one failed renewal. */
export const leaseError = (lease: Duration.DurationInput, renewEvery: Duration.Duration): Error | undefined => {
  const shortest = Duration.times(renewEvery, 2)
  return Duration.lessThan(lease, shortest)
    ? new Error(`its lease is shorter than ${Duration.format(shortest)}, two renewals`)
    : undefined
}

/** How often leases are renewed: as the source says, and more often when the pool's own lease is short. */
export const renewalInterval = (
  renewEvery: Duration.Duration,
  lease: Duration.DurationInput | undefined
): Duration.Duration =>
  lease === undefined
    ? renewEvery
    : Duration.clamp(Duration.times(lease, 0.3), { minimum: Duration.millis(1), maximum: renewEvery })
