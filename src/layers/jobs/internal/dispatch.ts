import { Clock, type Duration, Effect, Fiber } from "effect"
import type { Claim, JobSourceError } from "../JobSource.js"
import { untilBack } from "./patience.js"
import { type Job, noteAway, noteBack, type PoolState } from "./poolState.js"
import { handBack } from "./settle.js"

/**
 * Waits for a free slot, claims as many jobs as there are, and starts them. Says whether there may be more. Nothing is
 * claimed ahead; the wait may be interrupted, and nothing between the claim and the fiber that owns the job.
 */
const take = (pool: PoolState, run: (job: Job) => Effect.Effect<void>): Effect.Effect<boolean, JobSourceError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      yield* restore(pool.inFlight.awaitAtMost(pool.concurrency - 1))
      const free = pool.concurrency - pool.inFlight.size()
      const claims = yield* pool.queue.claim(free)
      yield* noteBack(pool, "claim")
      if (pool.quiesced && pool.durable) {
        yield* handBack(pool, claims)
      } else {
        const startedAt = yield* Clock.currentTimeMillis
        yield* Effect.forEach(claims, (claim) => {
          const job: Job = { claim, startedAt, fate: "Undecided", cursor: claim.cursor, told: undefined }
          return pool.inFlight.fork(job, run(job))
        }, { discard: true })
      }
      return claims.length === free
    })
  )

const patiently = (pool: PoolState, who: string) => <A>(effect: Effect.Effect<A, JobSourceError>): Effect.Effect<A> =>
  effect.pipe(Effect.tapError(noteAway(pool, who)), Effect.retry(untilBack), Effect.orDie)

/** Takes jobs, for ever. */
export const dispatch = (pool: PoolState, run: (job: Job) => Effect.Effect<void>): Effect.Effect<never> =>
  Effect.flatMap(take(pool, run), (more) => more ? Effect.void : pool.queue.wait).pipe(
    patiently(pool, "claim"),
    Effect.forever
  )

/** Takes jobs until none is left, neither in the queue nor in flight. */
export const dispatchAll = (pool: PoolState, run: (job: Job) => Effect.Effect<void>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const more = yield* take(pool, run)
    if (more) return false
    if (pool.inFlight.size() > 0) {
      yield* Effect.raceFirst(pool.queue.wait, pool.inFlight.awaitEmpty)
      return false
    }
    if ((yield* pool.queue.size) === 0) return true
    yield* pool.queue.wait
    return false
  }).pipe(
    patiently(pool, "claim"),
    Effect.repeat({ until: (empty) => empty }),
    Effect.asVoid
  )

/** Renews the leases of the jobs that run, for ever, and interrupts those whose lease is gone. */
export const heartbeat = (pool: PoolState, every: Duration.Duration): Effect.Effect<never> => {
  const renew = Effect.gen(function*() {
    const units = pool.inFlight.units().filter(({ data }) => data.fate === "Undecided")
    if (units.length === 0) return
    const lost = yield* pool.queue.renew(units.map(({ data }) => data.claim))
    yield* noteBack(pool, "renew")
    const leaseOf = ({ id, token }: Claim) => `${id} ${token}`
    const gone = new Set(lost.map(leaseOf))
    const me = yield* Effect.fiberId
    for (const { data, fiber } of units) {
      if (data.fate === "Undecided" && gone.has(leaseOf(data.claim))) {
        data.fate = "Lost"
        yield* Fiber.interruptAsFork(fiber, me)
      }
    }
  })
  return renew.pipe(
    patiently(pool, "renew"),
    Effect.delay(every),
    Effect.forever
  )
}
