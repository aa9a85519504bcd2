import { Deferred, Effect, FiberId } from "effect"
import { monotonicMillis } from "../../../core/internal/monotonic.js"
import { JobSourceError, QueueFull } from "../JobSource.js"
import type { Depth } from "../QueueControl.js"

/** How long a count is good for, in milliseconds: what other processes have offered since is not in it. */
const freshFor = 1_000

/** After a count that took so long, the next one waits for as many times as long: counting takes at most a tenth of the time. */
const pause = 9

/**
 * Bounds a queue of a durable engine, and returns what an offer of so many jobs runs before it stores them. Jobs are counted when an
 * offer needs it: when the last count is old, or its room is used up by the offers of this process.
 */
export const makeQueueBound = (options: {
  readonly queue: string
  /** The number of jobs that the queue has room for, perhaps infinite. */
  readonly capacity: number
  /** Joins the transaction of the caller. */
  readonly depth: Effect.Effect<Depth, JobSourceError>
  readonly isInTransaction: Effect.Effect<boolean>
}): (jobs: number) => Effect.Effect<void, JobSourceError | QueueFull> => {
  const { capacity, depth, isInTransaction, queue } = options
  if (capacity === Infinity) return () => Effect.void
  let room = 0
  let freshUntil = Number.NEGATIVE_INFINITY
  let countAt = Number.NEGATIVE_INFINITY
  let counting: Deferred.Deferred<void, JobSourceError> | undefined

  const take = (jobs: number) =>
    Effect.suspend(() => {
      if (room < jobs) return new QueueFull({ queue, capacity })
      room -= jobs
      return Effect.void
    })

  const count = Effect.gen(function*() {
    const begun = yield* monotonicMillis
    const { jobs } = yield* Effect.mapError(
      depth,
      ({ cause }) => new JobSourceError({ operation: "offer", queue, cause })
    )
    const now = yield* monotonicMillis
    room = capacity - jobs.Waiting.count - jobs.Delayed.count - jobs.Blocked.count
    countAt = now + pause * (now - begun)
    freshUntil = now + freshFor
  })

  /** One count for all offers that wait for it, on a fiber of its own: the others do not depend on the first one. */
  const countTogether = Effect.suspend(() => {
    if (counting !== undefined) return Deferred.await(counting)
    const counted = Deferred.unsafeMake<void, JobSourceError>(FiberId.none)
    counting = counted
    const counts = Effect.ensuring(count, Effect.sync(() => (counting = undefined)))
    return Effect.zipRight(Effect.forkDaemon(Effect.intoDeferred(counts, counted)), Deferred.await(counted))
  })

  return (jobs) =>
    Effect.flatMap(monotonicMillis, (now) => {
      if (now < countAt || (now < freshUntil && room >= jobs)) return take(jobs)
      // One that is in a transaction may hold the connection that the others wait for.
      const counted = Effect.flatMap(isInTransaction, (inTransaction) => inTransaction ? count : countTogether)
      return Effect.zipRight(counted, take(jobs))
    })
}
