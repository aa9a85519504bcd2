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
  /** Resumes the caller, with what became of its lease, or with the statement that it sends for all that are pending. */
  readonly resume: (effect: Effect.Effect<boolean, JobSourceError>) => void
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

  /** Sends all that is pending, the caller's claim included, and passes the turn on. Fibers that are ready to acknowledge join the batch. */
  const sendPending = (caller: Pending): Effect.Effect<boolean, JobSourceError> =>
    Effect.flatMap(Effect.yieldNow(), () => {
      const batch = pending
      pending = []
      return Effect.flatMap(Effect.exit(send(batch.map(({ ack }) => ack))), (sent) => {
        const lost = new Set(Exit.isSuccess(sent) ? sent.value : [])
        const resultOf = ({ ack }: Pending) => Exit.map(sent, () => !lost.has(ack.claim))
        for (const one of batch) if (one !== caller) one.resume(resultOf(one))
        const [next] = pending
        if (next === undefined) inFlight = false
        else next.resume(sendPending(next))
        return resultOf(caller)
      })
    })

  return (ack) =>
    Effect.uninterruptible(Effect.async((resume) => {
      const own: Pending = { ack, resume }
      pending.push(own)
      if (inFlight) return
      inFlight = true
      resume(sendPending(own))
    }))
}
