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
  /** Whether jobs are claimed now for which there is no room yet. */
  readonly isWorthIt: () => boolean
  /** Claims jobs for which there is room, and gives them. Claims more, and keeps them, if that is worth it. */
  readonly claim: (room: number) => Effect.Effect<ReadonlyArray<Claim>, JobSourceError>
  /** Whether the last claim was full, so that there may be more jobs. */
  readonly wasFull: () => boolean
  /** Waits for room. Gives those of the claims that may start now. Only the wait is interruptible. */
  readonly awaitRoom: Effect.Effect<ReadonlyArray<Claim>>
  /** Hands back the jobs that have not started. */
  readonly handBack: Effect.Effect<void>
}

export const makeClaimAhead = (pool: Pool, workers: Workers): ClaimAhead => {
  const { claimedAhead } = pool
  const isPossible = pool.durable && Object.is(pool.rateLimit, unlimited)
  let wasFull = false
  let isQuick = false
  let since = 0
  const isWorthIt = () =>
    isPossible && wasFull && isQuick && claimedAhead.size() === 0 && !pool.orphanTurn.isTaken() && mayStart(pool)

  return {
    isWorthIt,
    wasFull: () => wasFull,

    // With an orphan also ahead: while the queue is never empty there are no other claims.
    claim: (room) =>
      Effect.suspend(() => {
        const limit = room + (isWorthIt() ? workers.ahead : 0)
        return Effect.flatMap(pool.queue.claim(limit, { orphan: !pool.orphanTurn.isTaken() }), (claims) => {
          wasFull = claims.length === limit
          if (claims.length <= room) return Effect.succeed(claims)
          claimedAhead.add(claims.slice(room))
          return Effect.map(monotonicMillis, (now) => {
            since = now
            return claims.slice(0, room)
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

    handBack: Effect.suspend(() => handBack(pool, claimedAhead.take(claimedAhead.size())))
  }
}
