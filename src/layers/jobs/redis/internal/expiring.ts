import type { RedisQueueBackend } from "bullmq"
import { Clock, Duration, Effect, Random } from "effect"

/** How often in a row it may come late before it judges all the same. */
const mostPostponed = 3

/**
 * Makes the jobs of dead processes available again, for as long as it runs.
 *
 * BullMQ takes a job from whoever had no lock on it at two looks in a row. But locks run out as well while the server is
 * away, when nobody can renew them. So who finds it back after longer than a renewal may take, or has just begun to look,
 * judges nobody until all who live have had the time to renew. Not for ever: a machine may be so busy that it is always
 * late.
 */
export const expiring = (options: {
  readonly queues: Iterable<{ readonly name: string; readonly backend: RedisQueueBackend }>
  readonly ping: () => Promise<unknown>
  readonly every: Duration.Duration
  readonly renewEvery: Duration.Duration
  readonly wake: (name: string) => Effect.Effect<void>
}): Effect.Effect<never> =>
  Effect.gen(function*() {
    const { every, ping, queues, renewEvery, wake } = options
    const away = Duration.toMillis(every) + Duration.toMillis(renewEvery)
    // Who could not renew tries again every five seconds in the end.
    const grace = 3 * Duration.toMillis(renewEvery)
    let lastSeen = yield* Clock.currentTimeMillis
    let judgeFrom = lastSeen + grace
    let late = 0

    const look = Effect.gen(function*() {
      yield* Effect.tryPromise(ping)
      const now = yield* Clock.currentTimeMillis
      late = now - lastSeen > away ? late + 1 : 0
      if (late > 0 && late <= mostPostponed) judgeFrom = now + grace
      lastSeen = now
      if (now < judgeFrom) return
      for (const { backend, name } of queues) {
        const jobs = yield* Effect.tryPromise(() => backend.moveStalledJobsToWait())
        if (jobs.length === 0) continue
        yield* Effect.logWarning("Leases ran out, their jobs are available again").pipe(
          Effect.annotateLogs({ queue: name, jobs: jobs.length })
        )
        yield* wake(name)
      }
    })

    return yield* look.pipe(
      Effect.catchAllCause((cause) => Effect.logDebug("Leases could not be looked at, trying again", cause)),
      Effect.zipRight(
        Effect.flatMap(Random.nextRange(0.75, 1), (jitter) => Effect.sleep(Duration.times(every, jitter)))
      ),
      Effect.forever
    )
  })
