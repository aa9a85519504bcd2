import { Duration, Effect } from "effect"
import { monotonicMillis } from "../../../core/internal/monotonic.js"
import type { Claim, JobSourceError } from "../JobSource.js"
import { handBack, returnToQueue } from "./handBack.js"
import { mayStart, type Pool } from "./poolState.js"
import { unlimited } from "./rateLimit.js"
import type { Workers } from "./workers.js"

/** A job that is claimed before there is room for it starts within this time, or is handed back: another process may have room. */
const heldAtMost = Duration.millis(100)

/**
 * Claims the next jobs while the ones before run, so that a slot that becomes free waits for no statement. Only where jobs are so short that
 * this matters: the last slot became free within `heldAtMost`, and the last claim was full.
 */
export interface ClaimAhead {
  /** Claims jobs for which there is no room yet, if that is worth it. Tells whether it did. */
  readonly claim: Effect.Effect<boolean, JobSourceError>
  /** Waits for room. Gives those of the claims that may start now. Only the wait is interruptible. */
  readonly awaitRoom: Effect.Effect<ReadonlyArray<Claim>>
  /** Tells whether the last claim was full. */
  readonly claimed: (full: boolean) => void
  /** Hands back the jobs that have not started. */
  readonly handBack: Effect.Effect<void>
}

export const makeClaimAhead = (pool: Pool, workers: Workers): ClaimAhead => {
  const { claimedAhead } = pool
  const isPossible = pool.durable && Object.is(pool.rateLimit, unlimited)
  let isFull = false
  let isQuick = false
  let since = 0

  return {
    claim: Effect.suspend(() => {
      const isWorthIt = isPossible && isFull && isQuick && claimedAhead.size() === 0 && workers.room() <= 0
      if (!isWorthIt || pool.orphanTurn.isTaken() || !mayStart(pool)) return Effect.succeed(false)
      return Effect.flatMap(pool.queue.claim(workers.ahead, { orphan: false }), (claims) => {
        claimedAhead.add(claims)
        isFull = claims.length === workers.ahead
        return Effect.map(monotonicMillis, (now) => {
          since = now
          return true
        })
      })
    }),

    awaitRoom: Effect.gen(function*() {
      const isBusy = workers.room() <= 0
      const begun = yield* monotonicMillis
      if (claimedAhead.size() === 0) {
        yield* Effect.interruptible(workers.awaitRoom)
        if (isBusy) isQuick = (yield* monotonicMillis) - begun < Duration.toMillis(heldAtMost)
        return []
      }
      const within = Duration.millis(Math.max(0, Math.ceil(Duration.toMillis(heldAtMost) - (begun - since))))
      const waited = Effect.as(Effect.sleep(within), false)
      const inTime = yield* Effect.interruptible(Effect.raceFirst(Effect.as(workers.awaitRoom, true), waited))
      if (inTime && mayStart(pool)) return claimedAhead.take(workers.room())
      isQuick = false
      const left = claimedAhead.take(claimedAhead.size())
      if (left.length > 0) yield* Effect.ignoreLogged(returnToQueue(pool, left))
      return []
    }).pipe(Effect.uninterruptible),

    claimed: (full) => {
      isFull = full
    },

    handBack: Effect.suspend(() => handBack(pool, claimedAhead.take(claimedAhead.size())))
  }
}
