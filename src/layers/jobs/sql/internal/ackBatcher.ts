import { Deferred, Effect, Exit } from "effect"
import type { Claim, JobSourceError } from "../../JobSource.js"

interface Pending {
  readonly claim: Claim
  /** Completes when there is a result, or when it is this caller's turn to send the next batch. */
  readonly resumed: Deferred.Deferred<void>
  result: Exit.Exit<boolean, JobSourceError> | undefined
}

/**
 * Acknowledges jobs in batches, for acknowledgements that commit no writes: one statement is in flight at a time, and
 * what arrives meanwhile is sent together by the next. Each caller learns whether its own lease still held.
 * Uninterruptible, because a claim that is part of a statement in flight cannot be taken out of it.
 */
export const makeAckBatcher = (
  send: (claims: ReadonlyArray<Claim>) => Effect.Effect<ReadonlyArray<Claim>, JobSourceError>
): (claim: Claim) => Effect.Effect<boolean, JobSourceError> => {
  let pending: Array<Pending> = []
  let inFlight = false

  /** Sends all that is pending, the caller's claim included, and passes the turn on. */
  const sendPending = Effect.suspend(() => {
    const batch = pending
    pending = []
    return Effect.map(Effect.exit(send(batch.map(({ claim }) => claim))), (sent) => {
      for (const one of batch) {
        one.result = Exit.map(sent, (lost) => !lost.includes(one.claim))
        Deferred.unsafeDone(one.resumed, Exit.void)
      }
      const [next] = pending
      if (next === undefined) inFlight = false
      else Deferred.unsafeDone(next.resumed, Exit.void)
    })
  })

  return (claim) =>
    Effect.gen(function*() {
      const own: Pending = { claim, resumed: yield* Deferred.make<void>(), result: undefined }
      pending.push(own)
      if (inFlight) yield* Deferred.await(own.resumed)
      if (own.result === undefined) {
        inFlight = true
        // Fibers that are ready to acknowledge join the batch.
        yield* Effect.yieldNow()
        yield* sendPending
      }
      return yield* own.result!
    }).pipe(Effect.uninterruptible)
}
