/**
 * How long a statement may be unanswered, by its kind. `pg` has one `query_timeout` for all statements, which starts a timer for each, and
 * `PgClient` does not set it.
 */
import { isBrief, isOwn } from "../contract.js"

/** How often a statement may be found unanswered; without end if it may take any time. */
export interface Patience {
  /** For the statements that `brief` has marked. */
  readonly brief: number
  /** For the statements that begin and end transactions and savepoints. */
  readonly transaction: number
  /** For the statements that `own` has marked. */
  readonly own: number
  readonly others: number
}

/** How often statements are looked at: a `bounded` wait for each would double its cost. */
export const lookEvery = "4 seconds"

/**
 * Between four and eight seconds for a brief statement, and half a minute for one that takes no time unless the server is stalled, such as
 * `COMMIT`. Five minutes for a statement of the library that may wait for other transactions: longer than one of them lasts. No
 * bound for the statements of the app: what is too long depends on the statement.
 */
export const patience: Patience = { brief: 1, transaction: 6, own: 75, others: Infinity }

const takesNoTime = /^(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|CLOSE)\b/

export const patienceOf = (text: string, patience: Patience): number =>
  isBrief(text)
    ? patience.brief
    : takesNoTime.test(text)
    ? patience.transaction
    : isOwn(text)
    ? patience.own
    : patience.others
