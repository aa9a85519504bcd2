import { Effect, Exit } from "effect"
import type { Claim, JobSourceError } from "../../JobSource.js"

/** A job to acknowledge. */
export interface Ack {
  readonly claim: Claim
  /** The result as JSON; null when there is none. */
  readonly result: string | null
}

interface Pending {
  readonly ack: Ack
  /** Whether there is a result, or it is the caller's turn to send the next batch. */
  isReady: boolean
  /** Resumes the caller, once it waits. */
  resume: ((effect: Effect.Effect<void>) => void) | undefined
  result: Exit.Exit<boolean, JobSourceError> | undefined
}

const wake = (pending: Pending) => {
  pending.isReady = true
  pending.resume?.(Effect.void)
}

/**
 * Acknowledges jobs in batches, with their results, for acknowledgements that commit no writes: one statement is in flight at a time, and
 * what arrives meanwhile is sent together by the next. Each caller learns whether its own lease still held.
 * Uninterruptible, because a claim that is part of a statement in flight cannot be taken out of it.
 */
export const makeAckBatcher = (
  send: (acks: ReadonlyArray<Ack>) => Effect.Effect<ReadonlyArray<Claim>, JobSourceError>
): (ack: Ack) => Effect.Effect<boolean, JobSourceError> => {
  let pending: Array<Pending> = []
  let inFlight = false

  /** Sends all that is pending, the caller's claim included, and passes the turn on. */
  const sendPending = Effect.suspend(() => {
    const batch = pending
    pending = []
    return Effect.map(Effect.exit(send(batch.map(({ ack }) => ack))), (sent) => {
      const lost = new Set(Exit.isSuccess(sent) ? sent.value : [])
      for (const one of batch) {
        one.result = Exit.map(sent, () => !lost.has(one.ack.claim))
        wake(one)
      }
      const [next] = pending
      if (next === undefined) inFlight = false
      else wake(next)
    })
  })

  return (ack) =>
    Effect.uninterruptible(Effect.suspend(() => {
      const own: Pending = { ack, isReady: false, resume: undefined, result: undefined }
      pending.push(own)
      const ownTurn = Effect.zipRight(sendPending, Effect.suspend(() => own.result!))
      if (!inFlight) {
        inFlight = true
        // Fibers that are ready to acknowledge join the batch.
        return Effect.zipRight(Effect.yieldNow(), ownTurn)
      }
      return Effect.flatMap(
        Effect.async<void>((resume) => {
          if (own.isReady) resume(Effect.void)
          else own.resume = resume
        }),
        () => own.result ?? Effect.zipRight(Effect.yieldNow(), ownTurn)
      )
    }))
}
