import { Deferred, Effect, Exit } from "effect"
import type { Claim, JobSourceError } from "../../JobSource.js"

interface Waiting {
  readonly claim: Claim
  /** Completes when there is a result, or when it is this one's turn to send. */
  readonly told: Deferred.Deferred<void>
  result: Exit.Exit<boolean, JobSourceError> | undefined
}

/**
 * Acknowledges jobs that write nothing along with it: one statement is under way at a time, and those that come meanwhile
 * go together in the next. Each waits for its own, and is told whether it still held its lease. Uninterruptible, because
 * nobody can take back what is under way with others.
 */
export const makeAcks = (
  send: (claims: ReadonlyArray<Claim>) => Effect.Effect<ReadonlyArray<Claim>, JobSourceError>
): (claim: Claim) => Effect.Effect<boolean, JobSourceError> => {
  let waiting: Array<Waiting> = []
  let underWay = false

  /** Sends all that wait, oneself among them, and passes the turn on. */
  const sendAll = Effect.suspend(() => {
    const batch = waiting
    waiting = []
    return Effect.map(Effect.exit(send(batch.map(({ claim }) => claim))), (sent) => {
      for (const one of batch) {
        one.result = Exit.map(sent, (gone) => !gone.includes(one.claim))
        Deferred.unsafeDone(one.told, Exit.void)
      }
      const [next] = waiting
      if (next === undefined) underWay = false
      else Deferred.unsafeDone(next.told, Exit.void)
    })
  })

  return (claim) =>
    Effect.gen(function*() {
      const mine: Waiting = { claim, told: yield* Deferred.make<void>(), result: undefined }
      waiting.push(mine)
      if (underWay) yield* Deferred.await(mine.told)
      if (mine.result === undefined) {
        underWay = true
        // Who is about to come may come along.
        yield* Effect.yieldNow()
        yield* sendAll
      }
      return yield* mine.result!
    }).pipe(Effect.uninterruptible)
}
