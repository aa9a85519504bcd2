import { Array, Cause, Clock, Duration, Effect, Either, Option, Random } from "effect"
import { monotonicMillis } from "../../../core/internal/monotonic.js"
import { makeUnitOfWork } from "../../../core/internal/unitOfWork.js"
import type { Service as ShutdownService } from "../../../core/Shutdown.js"
import { JobEvent } from "../JobEvent.js"
import type { Claim, JobSourceError } from "../JobSource.js"
import { type ClaimAhead, makeClaimAhead } from "./claimAhead.js"
import { handBack } from "./handBack.js"
import { interruptRun, type JobRun, type Loop, mayStart, type Pool } from "./poolState.js"
import { untilAvailable } from "./retryPolicy.js"
import type { Workers } from "./workers.js"

/** Starts the jobs of claims; hands them back if none may start any more. */
const startClaims = (pool: Pool, workers: Workers, claims: ReadonlyArray<Claim>): Effect.Effect<void> =>
  Effect.gen(function*() {
    if (!mayStart(pool)) return yield* handBack(pool, claims)
    const startedAt = yield* Clock.currentTimeMillis
    // Another pool may have claimed an orphan at the same time.
    const [refused, runs] = Array.partitionMap(
      claims,
      (claim) => claim.orphan && !pool.orphanTurn.take() ? Either.left(claim) : Either.right(makeRun(claim, startedAt))
    )
    yield* pool.rateLimit.began(runs.length)
    yield* workers.start(runs)
    yield* handBack(pool, refused)
  })

/**
 * Waits for room, claims as many jobs as there is room for and as may begin, and starts them. Returns whether there may be more
 * jobs. Only the wait is interruptible, so that no job is lost between its claim and the fiber that runs it.
 */
const claimJobs = (pool: Pool, workers: Workers, ahead: ClaimAhead): Effect.Effect<boolean, JobSourceError> =>
  Effect.uninterruptible(
    Effect.gen(function*() {
      if (workers.room() <= 0 && ahead.isWorthIt()) {
        yield* ahead.claim(0)
        yield* sourceAvailable(pool, "dispatcher")
      }
      const early = yield* ahead.awaitRoom
      if (early.length > 0) return yield* Effect.as(startClaims(pool, workers, early), true)
      if (!mayStart(pool)) return false
      // What was claimed ahead is handed back.
      if (workers.room() <= 0) return true
      const room = yield* pool.rateLimit.room(workers.room())
      if (room === 0) return false
      const claims = yield* ahead.claim(room)
      yield* sourceAvailable(pool, "dispatcher")
      yield* startClaims(pool, workers, claims)
      return ahead.wasFull()
    })
  )

const makeRun = (claim: Claim, startedAt: number): JobRun => ({
  claim,
  startedAt,
  outcome: "Undecided",
  failedCompletion: undefined,
  unit: makeUnitOfWork(),
  cursor: claim.cursor,
  result: Option.none(),
  snoozedFor: undefined,
  abortController: undefined,
  batch: undefined
})

/**
 * Waits until the rate limit lets a job begin, and there may be one to claim. While an orphan runs the others are not claimed: they may
 * be when it has ended. A paused pool waits until it is resumed, and one that may not start jobs for another reason until it is interrupted.
 */
const awaitJob = (pool: Pool, awaitMore: Effect.Effect<void>): Effect.Effect<void, JobSourceError> =>
  Effect.suspend(() => {
    const { orphanTurn, pausing, queue, rateLimit } = pool
    if (pausing.isPaused()) return pausing.awaitResumed
    if (!mayStart(pool)) return Effect.never
    const available = orphanTurn.isTaken() ? Effect.raceFirst(queue.wait, orphanTurn.awaitRelease) : queue.wait
    return Effect.flatMap(
      rateLimit.room(1),
      (room) => room === 0 ? rateLimit.awaitRoom : Effect.zipRight(available, awaitMore)
    )
  })

/** Claims and starts jobs until it is interrupted. */
export const dispatch = (pool: Pool, workers: Workers): Effect.Effect<never> => {
  const ahead = makeClaimAhead(pool, workers)
  return Effect.flatMap(
    claimJobs(pool, workers, ahead),
    (more) => more ? Effect.void : awaitJob(pool, workers.awaitMore)
  ).pipe(
    retryUntilAvailable(pool, "dispatcher"),
    Effect.forever,
    Effect.ensuring(ahead.handBack)
  )
}

/** Claims and starts jobs until the queue is empty, or the pool is paused, and no job runs. */
export const dispatchUntilEmpty = (pool: Pool, workers: Workers): Effect.Effect<void> => {
  const ahead = makeClaimAhead(pool, workers)
  return Effect.gen(function*() {
    const more = yield* claimJobs(pool, workers, ahead)
    if (more) return false
    if (pool.inFlight.size() > 0) {
      yield* Effect.raceFirst(awaitJob(pool, Effect.void), pool.inFlight.awaitEmpty)
      return false
    }
    if (pool.pausing.isPaused() || (yield* pool.queue.size) === 0) return true
    yield* Effect.raceFirst(awaitJob(pool, Effect.void), pool.pausing.awaitPaused)
    return false
  }).pipe(
    retryUntilAvailable(pool, "dispatcher"),
    Effect.repeat({ until: (empty) => empty }),
    Effect.asVoid
  )
}

/** Renews the leases of the jobs that run until it is interrupted, and interrupts the jobs whose lease was lost. */
export const heartbeat = (pool: Pool, every: Duration.Duration): Effect.Effect<never> => {
  const renew = Effect.gen(function*() {
    const units = pool.inFlight.units().filter(({ data }) => data.outcome === "Undecided")
    if (units.length === 0) return
    const lost = yield* pool.queue.renew(units.map(({ data }) => data.claim))
    yield* sourceAvailable(pool, "heartbeat")
    const leaseOf = ({ id, token }: Claim) => `${id} ${token}`
    const lostLeases = new Set(lost.map(leaseOf))
    for (const unit of units) {
      if (unit.data.outcome === "Undecided" && lostLeases.has(leaseOf(unit.data.claim))) {
        unit.data.outcome = "LeaseLost"
        yield* interruptRun(unit)
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

/** `Effect.retry` costs as much as a claim, also when nothing fails: it runs only what has failed once, and begins with that failure. */
const retryUntilAvailable = (pool: Pool, loop: Loop) => <A>(effect: Effect.Effect<A, JobSourceError>) => {
  const tried = Effect.tapError(effect, sourceUnavailable(pool, loop))
  return Effect.catchAll(tried, (error) => {
    const failed = [Effect.fail(error)]
    return Effect.orDie(Effect.retry(Effect.suspend(() => failed.pop() ?? tried), untilAvailable))
  })
}

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
