import { Cause, Clock, Duration, Effect, Fiber, Random } from "effect"
import { monotonicMillis } from "../../../core/internal/monotonic.js"
import { makeUnitOfWork } from "../../../core/internal/unitOfWork.js"
import type { Service as ShutdownService } from "../../../core/Shutdown.js"
import { JobEvent } from "../JobEvent.js"
import type { Claim, JobSourceError } from "../JobSource.js"
import { handBack } from "./handBack.js"
import { type JobRun, type Loop, mayStart, type Pool } from "./poolState.js"
import { untilAvailable } from "./retryPolicy.js"

/**
 * Waits for a free slot, claims as many jobs as there are free slots, and starts them. Returns whether there may be more
 * jobs. Only the wait is interruptible, so that no job is lost between its claim and the fiber that runs it.
 */
const claimJobs = (pool: Pool, runJob: (run: JobRun) => Effect.Effect<void>): Effect.Effect<boolean, JobSourceError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      yield* restore(pool.inFlight.awaitAtMost(pool.concurrency - 1))
      // The loop is about to be interrupted.
      if (!mayStart(pool)) return yield* restore(Effect.never)
      const free = pool.concurrency - pool.inFlight.size()
      const claims = yield* pool.queue.claim(free, { orphan: !pool.orphanTurn.isTaken() })
      yield* sourceAvailable(pool, "dispatcher")
      if (mayStart(pool)) {
        const startedAt = yield* Clock.currentTimeMillis
        yield* Effect.forEach(claims, (claim) => {
          // Another pool has claimed an orphan at the same time.
          if (claim.orphan && !pool.orphanTurn.take()) return handBack(pool, [claim])
          const { cursor } = claim
          const run: JobRun = {
            claim,
            startedAt,
            outcome: "Undecided",
            failedCompletion: undefined,
            unit: makeUnitOfWork(),
            cursor,
            abortController: undefined
          }
          return pool.inFlight.fork(run, claim.orphan ? inOrphanTurn(pool, runJob(run)) : runJob(run))
        }, { discard: true })
      } else {
        yield* handBack(pool, claims)
      }
      return claims.length === free
    })
  )

/** After this time an orphan that runs is not held to be what ends processes, so that a long one holds up no others. */
const trialTime = Duration.minutes(10)

/** Runs an orphan that has taken the turn, and releases it once. */
const inOrphanTurn = ({ orphanTurn }: Pool, run: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.suspend(() => {
    let holds = true
    const release = Effect.suspend(() => {
      if (!holds) return Effect.void
      holds = false
      return orphanTurn.release
    })
    return Effect.fork(Effect.interruptible(Effect.delay(release, trialTime))).pipe(
      Effect.zipRight(run),
      Effect.ensuring(release)
    )
  })

/** Waits until there may be a job to claim. While an orphan runs the others are not claimed: they may be when it has ended. */
const awaitJob = (pool: Pool): Effect.Effect<void, JobSourceError> =>
  Effect.suspend(() =>
    pool.orphanTurn.isTaken() ? Effect.raceFirst(pool.queue.wait, pool.orphanTurn.awaitRelease) : pool.queue.wait
  )

/** Claims and starts jobs until it is interrupted. */
export const dispatch = (pool: Pool, runJob: (run: JobRun) => Effect.Effect<void>): Effect.Effect<never> =>
  Effect.flatMap(claimJobs(pool, runJob), (more) => more ? Effect.void : awaitJob(pool)).pipe(
    retryUntilAvailable(pool, "dispatcher"),
    Effect.forever
  )

/** Claims and starts jobs until the queue is empty and no job runs. */
export const dispatchUntilEmpty = (pool: Pool, runJob: (run: JobRun) => Effect.Effect<void>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const more = yield* claimJobs(pool, runJob)
    if (more) return false
    if (pool.inFlight.size() > 0) {
      yield* Effect.raceFirst(awaitJob(pool), pool.inFlight.awaitEmpty)
      return false
    }
    if ((yield* pool.queue.size) === 0) return true
    yield* awaitJob(pool)
    return false
  }).pipe(
    retryUntilAvailable(pool, "dispatcher"),
    Effect.repeat({ until: (empty) => empty }),
    Effect.asVoid
  )

/** Renews the leases of the jobs that run until it is interrupted, and interrupts the jobs whose lease was lost. */
export const heartbeat = (pool: Pool, every: Duration.Duration): Effect.Effect<never> => {
  const renew = Effect.gen(function*() {
    const units = pool.inFlight.units().filter(({ data }) => data.outcome === "Undecided")
    if (units.length === 0) return
    const lost = yield* pool.queue.renew(units.map(({ data }) => data.claim))
    yield* sourceAvailable(pool, "heartbeat")
    const leaseOf = ({ id, token }: Claim) => `${id} ${token}`
    const lostLeases = new Set(lost.map(leaseOf))
    const fiberId = yield* Effect.fiberId
    for (const { data, fiber } of units) {
      if (data.outcome === "Undecided" && lostLeases.has(leaseOf(data.claim))) {
        data.outcome = "LeaseLost"
        yield* Fiber.interruptAsFork(fiber, fiberId)
      }
    }
  })
  return renew.pipe(
    retryUntilAvailable(pool, "heartbeat"),
    Effect.delay(every),
    Effect.forever
  )
}

/** Records that a loop waits for the source. The first loop also logs it. */
const sourceUnavailable = (pool: Pool, loop: Loop) => (error: JobSourceError): Effect.Effect<void> =>
  Effect.suspend(() => {
    const isFirst = pool.waitingForSource.size === 0
    pool.waitingForSource.set(loop, error.message)
    return isFirst
      ? Effect.zipRight(
        Effect.logWarning(`${pool.name}: waiting for the source`, error),
        pool.events.record(JobEvent.SourceUnavailable({ pool: pool.name, error: error.message }))
      )
      : Effect.void
  })

/** Records that the source has answered a loop. The last loop that waited also logs it. */
const sourceAvailable = (pool: Pool, loop: Loop): Effect.Effect<void> =>
  Effect.suspend(() =>
    pool.waitingForSource.delete(loop) && pool.waitingForSource.size === 0
      ? Effect.zipRight(
        Effect.logInfo(`${pool.name}: the source is available`),
        pool.events.record(JobEvent.SourceAvailable({ pool: pool.name }))
      )
      : Effect.void
  )

const retryUntilAvailable = (pool: Pool, loop: Loop) => <A>(effect: Effect.Effect<A, JobSourceError>) =>
  effect.pipe(Effect.tapError(sourceUnavailable(pool, loop)), Effect.retry(untilAvailable), Effect.orDie)

/** More crashes than this within the window are not transient, so the service ends and its supervisor restarts it. */
const maxCrashes = 5
const crashWindow = Duration.minutes(1)

/**
 * Restarts a loop that dies, after 100 ms, 200 ms, 400 ms and so on, varied by up to a fifth. More than five crashes within
 * a minute end the service.
 */
export const supervise = (pool: Pool, loop: Loop, shutdown: ShutdownService) => (effect: Effect.Effect<never>) => {
  let crashes: ReadonlyArray<number> = []
  return Effect.catchAllCause(effect, (cause) =>
    Effect.gen(function*() {
      const now = yield* monotonicMillis
      crashes = [...crashes.filter((at) => at > now - Duration.toMillis(crashWindow)), now]
      const jitter = yield* Random.nextRange(0.8, 1.2)
      const restartIn = crashes.length > maxCrashes
        ? undefined
        : Duration.millis(100 * 2 ** (crashes.length - 1) * jitter)
      yield* Effect.logError(`${pool.name}: the ${loop} crashed`, cause)
      yield* pool.events.record(JobEvent.Crashed({ pool: pool.name, fiber: loop, cause, restartIn }))
      if (restartIn !== undefined) return yield* Effect.as(Effect.sleep(restartIn), false)
      pool.crash = `the ${loop} keeps crashing`
      const reason = `${pool.name}: ${pool.crash}`
      yield* shutdown.begin({ reason, failure: reason, cause: Cause.squash(cause) })
      return true
    })).pipe(Effect.repeat({ until: (stopped: boolean) => stopped }), Effect.asVoid)
}
