import { Duration, Effect, Either, Option } from "effect"
import { randomUUID } from "node:crypto"
import { isInTransaction } from "../../../core/internal/afterCommit.js"
import { type JobEnd, JobSourceError, type OfferOptions } from "../JobSource.js"
import type { Codec } from "./codec.js"
import type { Failures } from "./failures.js"
import { leastKept } from "./jobEnds.js"
import { ofOneJob } from "./ofOneJob.js"
import type { makeOperations } from "./operations.js"
import type { Service } from "./poolService.js"
import type { Pool } from "./poolState.js"
import { JobDeadLettered, JobGone } from "./resultErrors.js"
import { keepIdForOf } from "./storable.js"

/** The operations of a pool that wait for the ends of jobs. */
export const makeResults = <Job, Success, Failure>(
  pool: Pick<Pool, "name" | "queue"> & {
    /** Completes when the pool is closed. */
    readonly closed: Effect.Effect<void>
    readonly offerAll: ReturnType<typeof makeOperations<Job, Failure>>["offerAll"]
  },
  { failures, success }: { readonly success: Codec<Success> | undefined; readonly failures: Failures<Failure> }
): Pick<Service<Job, Success, Failure>, "awaitResult" | "offerAndWait"> => {
  const { closed, name, offerAll, queue } = pool
  const failure = (reason: string) =>
    new JobSourceError({ operation: "awaitResult", queue: name, cause: new Error(reason) })
  const outsideTransactions = Effect.filterOrFail(
    isInTransaction,
    (inTransaction) => !inTransaction,
    () =>
      failure("the transaction around would stay open meanwhile: offer the job in it, and await it after its commit")
  )

  const resultOf = (
    id: string,
    end: JobEnd
  ): Effect.Effect<Success, JobDeadLettered<Failure> | JobGone | JobSourceError> => {
    if (end._tag === "Gone") return new JobGone({ queue: name, id })
    if (end._tag === "DeadLettered") {
      return Effect.flatMap(
        failures.decode(end.failure),
        (failure) => new JobDeadLettered<Failure>({ queue: name, id, error: end.error, failure })
      )
    }
    // A pool without the schema gives nothing.
    if (success === undefined) return Effect.succeed(undefined as Success)
    return Option.match(end.value, {
      onNone: () =>
        failure(`job ${id} has succeeded without a result: a process without the schema \`success\` ran it`),
      onSome: (stored) =>
        Either.match(success.decode(stored), {
          onLeft: (error) => failure(`the result of job ${id} does not decode: ${error}`),
          onRight: (value) => Effect.succeed(value)
        })
    })
  }

  const wait = (id: string) =>
    Effect.raceFirst(
      // Also when the caller is not: a race waits for its loser.
      Effect.interruptible(queue.awaitEnd(id)),
      Effect.interruptible(Effect.zipRight(closed, failure(`the pool has ended, but job ${id} has not`)))
    ).pipe(Effect.flatMap((end) => resultOf(id, end)))

  return {
    awaitResult: (id) => Effect.zipRight(outsideTransactions, wait(id)),
    offerAndWait: (job, { id = randomUUID(), ...options }: OfferOptions = {}) =>
      outsideTransactions.pipe(
        Effect.zipRight(Effect.suspend(() =>
          offerAll([job], {
            ...ofOneJob({ ...options, id }),
            keepIdFor: Duration.max(keepIdForOf(options), leastKept),
            awaited: true
          })
        )),
        Effect.zipRight(wait(id))
      )
  }
}
