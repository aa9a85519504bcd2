import { Duration } from "effect"

/** Why a queue cannot have the lease that it wants: one renewal must be able to fail. */
export const leaseError = (lease: Duration.DurationInput, renewEvery: Duration.Duration): Error | undefined => {
  const shortest = Duration.times(renewEvery, 2)
  return Duration.lessThan(lease, shortest)
    ? new Error(`its lease is shorter than ${Duration.format(shortest)}, two renewals`)
    : undefined
}
