import { Duration, Effect } from "effect"
import { claimant } from "../../internal/claimant.js"
import type { WakeUp } from "../../internal/wakeUp.js"
import type { JobQueue } from "../../JobSource.js"
import type { KeyTurns } from "./keyTurns.js"
import { type Run, toClaim } from "./rows.js"
import type { Statements } from "./statements.js"

/** How jobs of one queue are found. */
export type Claiming = Pick<JobQueue, "wait" | "claim">

/** Finds jobs in the table itself, oldest first. */
export const claimingFromTable = (options: {
  readonly queue: string
  /** Joins the transaction of the caller. */
  readonly run: Run
  readonly statements: Statements
  readonly lease: Duration.Duration
  readonly wakeUp: WakeUp
  readonly turns: KeyTurns
}): Claiming => {
  const { lease, queue, run, statements, turns, wakeUp } = options
  const by = claimant()
  /** After a claim that was not full: whether an orphan may be next. */
  let unlooked: { readonly orphan: boolean } | undefined
  /** Looks up when the next job is due. Not in the claim, whose jobs would begin a statement later. */
  const lookAtDue = Effect.uninterruptible(Effect.suspend(() => {
    if (unlooked === undefined) return Effect.void
    const { orphan } = unlooked
    unlooked = undefined
    return run("claim", statements.due, orphan).pipe(
      Effect.flatMap(([row]) => wakeUp.setDue(turns.dueOf(queue, row))),
      // Then the next claim looks.
      Effect.catchAllCause(() => wakeUp.notify)
    )
  }))
  return {
    wait: Effect.zipRight(lookAtDue, wakeUp.wait),

    claim: (limit, { orphan = true } = {}) =>
      Effect.gen(function*() {
        if (limit < 1) return []
        yield* wakeUp.reset
        const rows = yield* Effect.tapErrorCause(
          Effect.zipRight(
            turns.advance(queue, limit),
            run("claim", statements.claim, limit, Duration.toSeconds(lease), orphan, by)
          ),
          () => wakeUp.notify
        )
        const claims = rows.map(toClaim)
        if (rows.length === limit) {
          unlooked = undefined
          if (rows[0]!.turns === true) turns.changed(queue)
          yield* wakeUp.notify
        } else unlooked = { orphan: orphan && !claims.some(({ orphan }) => orphan) }
        return claims
      }).pipe(Effect.uninterruptible)
  }
}
