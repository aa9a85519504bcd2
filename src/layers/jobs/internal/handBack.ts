import { Deferred, Duration, Effect, FiberId } from "effect"
import { bounded } from "../../../core/internal/bounded.js"
import { turn } from "../../../core/internal/eventLoop.js"
import { JobEvent } from "../JobEvent.js"
import type { Claim } from "../JobSource.js"
import type { HandBackBatch, Pool } from "./poolState.js"
import { retrySettlement } from "./retryPolicy.js"

/** How long the claims of interrupted jobs are collected, so that jobs which end within this time share a statement. */
const batchWindow = Duration.millis(100)

/** So many jobs take a source in memory a few milliseconds, in which the event loop is blocked. */
const mostAtOnce = 1000

/** Makes the jobs available to other processes, without spending attempts. Returns the claims whose lease was lost. */
export const returnToQueue = (pool: Pool, claims: ReadonlyArray<Claim>) =>
  Effect.uninterruptible(retrySettlement(pool)(pool.queue.handBack(claims)))

/** Hands jobs back in one statement, and records each of them. */
const handBackAtOnce = (pool: Pool, claims: ReadonlyArray<Claim>): Effect.Effect<void> => {
  const { recordAll, recordCut, recordLeaseLost, runFields } = pool.events
  return Effect.matchEffect(returnToQueue(pool, claims), {
    onSuccess: (lost) => {
      const handedBack = lost.length === 0 ? claims : claims.filter((claim) => !lost.includes(claim))
      return Effect.zipRight(
        recordAll(handedBack.map((claim) => JobEvent.HandedBack(runFields(claim)))),
        Effect.forEach(lost, recordLeaseLost, { discard: true })
      )
    },
    onFailure: (error) => recordCut(claims, `${claims.length} jobs could not be handed back`, error)
  })
}

/** Hands jobs back in as few statements as do not hold up the event loop, and records each of them. */
export const handBack = (pool: Pool, claims: ReadonlyArray<Claim>): Effect.Effect<void> =>
  Effect.uninterruptible(Effect.gen(function*() {
    for (let from = 0; from < claims.length; from += mostAtOnce) {
      if (from > 0) yield* turn
      yield* handBackAtOnce(pool, claims.slice(from, from + mostAtOnce))
    }
  }))

/** Hands back one interrupted job: with the current batch, or alone when that is on its way. */
export const handBackInterrupted = (pool: Pool, claim: Claim): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    const { recordBefore, runFields } = pool.events
    return recordBefore(fiber, JobEvent.Interrupted(runFields(claim)), () => {
      const state = pool.lifecycle.state()
      if (state._tag !== "Interrupting" || state.batch.claims === undefined) return handBack(pool, [claim])
      state.batch.claims.push(claim)
      return Effect.void
    })
  })

const flush = (pool: Pool, batch: HandBackBatch): Effect.Effect<void> =>
  Effect.suspend(() => {
    const claims = batch.claims ?? []
    batch.claims = undefined
    return Effect.ensuring(handBack(pool, claims), Deferred.succeed(batch.flushed, void 0))
  })

/** Interrupts the jobs of a pool, hands them back as they end, and completes when all have ended. */
export const interruptJobs = (pool: Pool): Effect.Effect<void> =>
  Effect.suspend(() => {
    const batch: HandBackBatch = { claims: [], flushed: Deferred.unsafeMake(FiberId.none) }
    return pool.lifecycle.advance({ _tag: "Interrupting", batch }).pipe(
      Effect.zipRight(pool.inFlight.interrupt),
      // Disconnected, because a bounded wait is uninterruptible and this step may run out of time.
      Effect.zipRight(Effect.disconnect(bounded({ within: batchWindow })(pool.inFlight.awaitEmpty))),
      // Without time to wait, too. Jobs that end later are handed back one by one.
      Effect.ensuring(flush(pool, batch)),
      Effect.zipRight(pool.inFlight.awaitEmpty)
    )
  })

/** Completes when the interrupted jobs of the batch were handed back; at once when no job was interrupted. */
export const awaitHandBack = (pool: Pool): Effect.Effect<void> =>
  Effect.suspend(() => {
    const state = pool.lifecycle.state()
    return state._tag === "Interrupting" ? Deferred.await(state.batch.flushed) : Effect.void
  })

/**
 * Leaves behind the jobs that ignored their interruption. A durable pool takes the connections from them, so that what they have not
 * committed is rolled back, and only then hands them back, so that other processes can run them at once.
 */
export const abandonJobs = (pool: Pool): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { record, runFields } = pool.events
    const abandoned = pool.inFlight.units().map(({ data }) => data).filter(({ outcome }) => outcome === "Undecided")
    for (const run of abandoned) run.outcome = "Abandoned"
    const claims = abandoned.map(({ claim }) => claim)
    const revoke = Effect.forEach(abandoned, ({ unit }) => unit.revoke, { concurrency: "unbounded", discard: true })
    return Effect.zipRight(
      Effect.forEach(claims, (claim) => record(JobEvent.Abandoned(runFields(claim))), { discard: true }),
      pool.durable && claims.length > 0
        ? Effect.uninterruptible(Effect.zipRight(revoke, Effect.ignoreLogged(returnToQueue(pool, claims))))
        : Effect.void
    )
  })
