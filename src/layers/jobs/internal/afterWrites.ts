import { Array, Effect } from "effect"
import { afterCommit, isInTransaction } from "../../../core/internal/afterCommit.js"
import { type JobQueue, type JobSourceError, LeaseLost } from "../JobSource.js"

/**
 * Settles a job after its writes, for engines that join no transaction: in a transaction of the caller after its commit, when
 * a failure can only be logged. The job runs again then.
 */
export const settleAfterWrites = (
  settle: Effect.Effect<void, LeaseLost | JobSourceError>
): Effect.Effect<void, LeaseLost | JobSourceError> =>
  Effect.flatMap(isInTransaction, (inTransaction) =>
    inTransaction
      ? afterCommit(
        Effect.catchAll(
          settle,
          (error) => Effect.logWarning("the writes of a job are committed, but it could not be settled", error)
        )
      )
      : settle)

/** `JobQueue.transactAll` for these engines. `hold` renews the leases that are held, and returns the claims whose lease was lost. */
export const transactAllAfterWrites = (
  queue: string,
  { acknowledge, hold }: {
    readonly acknowledge: JobQueue["acknowledge"]
    readonly hold: JobQueue["renew"]
  }
): JobQueue["transactAll"] =>
(claims, writes) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const lost = [...yield* hold(claims)]
      const held = claims.filter((claim) => !lost.includes(claim))
      if (!Array.isNonEmptyReadonlyArray(held)) return yield* new LeaseLost({ queue, id: claims[0].id })
      const value = yield* restore(writes(held))
      yield* settleAfterWrites(Effect.map(acknowledge(held), (late) => void lost.push(...late)))
      return { value, lost }
    })
  )
