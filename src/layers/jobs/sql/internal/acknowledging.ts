import type { SqlClient } from "@effect/sql"
import { Effect } from "effect"
import { causeOf, type Row, transactionEnding } from "../../../database/contract.js"
import { endedMessageOf } from "../../internal/jobEnds.js"
import { isStorableJsonText } from "../../internal/storable.js"
import { type Claim, type JobSourceError, LeaseLost } from "../../JobSource.js"
import { type Ack, makeAckBatcher } from "./ackBatcher.js"
import { isLeaseIsLost } from "./endStatements.js"
import { keyedPrefix } from "./keyTable.js"
import type { Notifier } from "./notifier.js"
import { failureOf, heldOrLost, json, type Run, runOn, settleAll } from "./rows.js"
import type { Statements } from "./statements.js"

/** Gives the result of a job, if it has one. */
type Result = (() => unknown) | undefined

/** The ways to acknowledge jobs of one queue. */
export const makeAcknowledging = (options: {
  readonly queue: string
  /** Joins the transaction of the caller. */
  readonly sql: SqlClient.SqlClient
  readonly statements: Statements
  readonly notifier: Notifier
  /** For how long the transaction of an acknowledgement may be idle afterwards, in milliseconds. */
  readonly idleMillis: string
}) => {
  const { idleMillis, notifier, queue, sql, statements } = options
  const failure = failureOf(queue)("transact")
  const run = runOn(sql, queue)

  /** What the ends of jobs announce: that the next one of a key has its turn, and that one ended for which a process waits. */
  const endPayloads = (rows: ReadonlyArray<Row> = [{ followed: true }]) => [
    ...rows.some(({ followed }) => followed === true) ? [`${keyedPrefix}${queue}`] : [],
    ...rows.flatMap(({ ended }) => typeof ended === "string" ? [endedMessageOf(queue, ended)] : [])
  ]
  const runNotifying: Run = (operation, statement, ...values) =>
    notifier.notifying(queue, (afterCommit) => run(operation, statement, ...values, afterCommit), endPayloads)
  const ackOnce = (acks: ReadonlyArray<Ack>) =>
    settleAll(runNotifying)(
      "acknowledge",
      statements.ack,
      acks.map(({ claim }) => claim),
      idleMillis,
      acks.map(({ result }) => result)
    )
  /**
   * Looks twice for what was not found: while an id comes to be kept, because another job depends on this one or its end is awaited, both halves of the
   * statement may miss the job.
   */
  const ackAll = (acks: ReadonlyArray<Ack>) =>
    Effect.flatMap(ackOnce(acks), (lost) => ackOnce(acks.filter(({ claim }) => lost.includes(claim))))
  const ackTogether = makeAckBatcher(ackAll)

  /** One that cannot be stored is refused here: the others of its statement would fail with it. */
  const resultOf = (result: Result): Effect.Effect<string | null, JobSourceError> =>
    result === undefined ? Effect.succeed(null) : Effect.filterOrFail(
      Effect.try({ try: () => json(result()), catch: failure }),
      isStorableJsonText,
      () => failure(new Error("the result is no JSON that PostgreSQL stores"))
    )

  return {
    /** In one statement, which joins the transaction of the caller. Gives the claims whose lease is lost. */
    acknowledgeAll: (claims: ReadonlyArray<Claim>) => ackAll(claims.map((claim) => ({ claim, result: null }))),

    /** In a statement for all that are acknowledged at a time, and then goes on. */
    acknowledge: <A, E, R>(claim: Claim, result: Result, next: Effect.Effect<A, E, R>) =>
      Effect.flatMap(
        result === undefined
          ? ackTogether({ claim, result: null })
          : Effect.flatMap(resultOf(result), (result) => ackTogether({ claim, result })),
        (held): Effect.Effect<A, E | LeaseLost, R> => held ? next : new LeaseLost({ queue, id: claim.id })
      ),

    /** In the transaction of the caller. */
    acknowledgeWithin: (claim: Claim, result: Result) =>
      Effect.flatMap(resultOf(result), (result) => heldOrLost(queue, claim, ackAll([{ claim, result }]))),

    /** Commits the writes and acknowledges the job with them. The caller is in no transaction. */
    commitWith: <A, E, R>(claim: Claim, writes: Effect.Effect<A, E, R>, result: Result) =>
      notifier.notifying(
        queue,
        (afterCommit) =>
          transactionEnding(
            sql,
            Effect.flatMap(writes, (written) =>
              Effect.map(
                resultOf(result),
                (result) => [written, statements.ackLast, [queue, claim.id, claim.token, result, afterCommit]] as const
              )),
            (error) => isLeaseIsLost(causeOf(error)) ? new LeaseLost({ queue, id: claim.id }) : failure(error)
          ),
        (done) => endPayloads(done?.[1])
      ).pipe(Effect.map(([written]) => written))
  }
}
