import { Effect } from "effect"
import { afterCommit, isInTransaction } from "../../../core/internal/afterCommit.js"
import type { JobSourceError, LeaseLost } from "../JobSource.js"

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
