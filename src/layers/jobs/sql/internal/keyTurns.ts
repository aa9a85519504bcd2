import type { SqlClient } from "@effect/sql"
import { Effect } from "effect"
import { executeOwn, type Row } from "../../../database/contract.js"
import * as WakeUp from "../../internal/wakeUp.js"
import type { JobSourceError } from "../../JobSource.js"
import { failureOf } from "./rows.js"
import type { Statements } from "./statements.js"

/** How many turns one statement takes, so that each is short. */
const mostTaken = 1_000

/** Makes the next job of each key available. */
export interface KeyTurns {
  /** There may be turns in this queue, or in every queue with `WakeUp.everyQueue`. */
  readonly changed: (queue: string) => void
  /** Takes the turns of a queue when there may be any. `room` is how many jobs the caller claims then. */
  readonly advance: (queue: string, room: number) => Effect.Effect<void, JobSourceError>
  /** In how many milliseconds to look at a queue again, by the row of a statement `due`: at once while keys have turns. */
  readonly dueOf: (queue: string, row: Row | undefined) => number | undefined
}

/** Queues without keys cost one statement, when they are looked at for the first time. */
export const makeKeyTurns = (sql: SqlClient.SqlClient, { advance }: Pick<Statements, "advance">): KeyTurns => {
  /** The queues that had no turn left when they were looked at, and were not notified since. */
  const withoutTurns = new Set<string>()
  const changed = (queue: string) => {
    if (queue === WakeUp.everyQueue) withoutTurns.clear()
    else withoutTurns.delete(queue)
  }

  const take = (queue: string, room: number): Effect.Effect<void, JobSourceError> =>
    executeOwn(sql, advance(queue, { limit: mostTaken, room })).pipe(
      Effect.mapError(failureOf(queue)("advance")),
      Effect.flatMap(([row]) => {
        const { looked, taken } = row as { readonly looked: number; readonly taken: number }
        if (taken < looked) changed(queue)
        return taken === mostTaken ? take(queue, room) : Effect.void
      })
    )

  return {
    changed,
    advance: (queue, room) =>
      Effect.suspend(() => {
        if (withoutTurns.has(queue)) return Effect.void
        // Before the look, so that a notification meanwhile is kept.
        withoutTurns.add(queue)
        return Effect.tapErrorCause(take(queue, room), () => Effect.sync(() => changed(queue)))
      }),
    dueOf: (queue, row) => {
      if (row?.turns !== true) return row?.due as number | null ?? undefined
      changed(queue)
      return 0
    }
  }
}
