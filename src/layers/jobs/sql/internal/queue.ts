import type { SqlClient } from "@effect/sql"
import { Array, DateTime, Duration, Effect, Option } from "effect"
import { randomUUID } from "node:crypto"
import { bounded } from "../../../../core/internal/bounded.js"
import { monotonicMillis } from "../../../../core/internal/monotonic.js"
import { causeOf, execute, type Row, transaction, TransactionTag } from "../../../database/contract.js"
import { toDeadLetter, toJob } from "../../internal/jobRecord.js"
import { idsFault, isStorableId, keepIdForMillis, storableText } from "../../internal/storable.js"
import type { WakeUp } from "../../internal/wakeUp.js"
import {
  type Claim,
  type JobQueue,
  JobSourceError,
  LeaseLost,
  type Settlement,
  type StoredJob
} from "../../JobSource.js"
import { makeAckBatcher } from "./ackBatcher.js"
import type { Statements } from "./statements.js"

const json = (value: unknown): string => JSON.stringify(value) ?? "null"

const states = { waiting: "Waiting", running: "Running", dead: "Dead" } as const

const toClaim = (row: Row): Claim => ({ ...toJob(row), token: row.fence as string, orphan: row.orphan as boolean })
const toStoredJob = (row: Row): StoredJob => ({ ...toJob(row), state: states[row.state as keyof typeof states] })

/** One queue of the table. */
export const make = (options: {
  readonly name: string
  readonly lease: Duration.Duration
  /** Joins the transaction of the caller. */
  readonly sql: SqlClient.SqlClient
  /** A client that never waits behind jobs. */
  readonly reserved: SqlClient.SqlClient
  readonly statements: Statements
  readonly wakeUp: WakeUp
}): JobQueue => {
  const { lease, name, reserved, sql, statements, wakeUp } = options
  const leaseSeconds = Duration.toSeconds(lease)

  const failure = (operation: string) => (error: unknown) =>
    new JobSourceError({ operation, queue: name, cause: causeOf(error) })
  /** Values that are no JSON, such as a `bigint`, are refused. */
  const encoded = <A>(operation: string, encode: () => A) => Effect.try({ try: encode, catch: failure(operation) })
  const runOn =
    (client: SqlClient.SqlClient) => (operation: string, statement: string, ...values: ReadonlyArray<unknown>) =>
      Effect.mapError(execute(client, statement, [name, ...values]), failure(operation))
  const run = runOn(sql)

  const count = (operation: string, statement: string, ...values: ReadonlyArray<unknown>) =>
    Effect.map(run(operation, statement, ...values), ([row]) => row?.jobs as number)

  /** Runs a statement over leases, and gives the claims whose lease it did not find. */
  const settleAll = (client: SqlClient.SqlClient) =>
  (
    operation: string,
    statement: string,
    claims: ReadonlyArray<Claim>,
    ...values: ReadonlyArray<unknown>
  ): Effect.Effect<ReadonlyArray<Claim>, JobSourceError> =>
    claims.length === 0 ? Effect.succeed([]) : Effect.map(
      runOn(client)(operation, statement, claims.map(({ id }) => id), claims.map(({ token }) => token), ...values),
      (rows) => {
        const held = new Set(rows.map(({ fence }) => fence))
        return claims.filter(({ token }) => !held.has(token))
      }
    )
  const settle = (operation: string, statement: string, claim: Claim, ...values: ReadonlyArray<unknown>) =>
    Effect.filterOrFail(
      settleAll(sql)(operation, statement, [claim], ...values),
      (lost) => lost.length === 0,
      () => new LeaseLost({ queue: name, id: claim.id })
    )

  const find = (operation: string, id: string): Effect.Effect<Option.Option<Row>, JobSourceError> =>
    isStorableId(id) ? Effect.map(run(operation, statements.find, id), Array.head) : Effect.succeedNone

  const acknowledge = makeAckBatcher((claims) => settleAll(sql)("transact", statements.ack, claims))

  const settlement = (claim: Claim, how: Settlement) => {
    if (how._tag === "Ack") return settle("transact", statements.ack, claim)
    const statement = how.handBack ? statements.checkpointAndHandBack : statements.checkpoint
    return Effect.flatMap(
      encoded("transact", () => json(how.cursor)),
      (cursor) => settle("transact", statement, claim, cursor)
    )
  }

  const touch = (claim: Claim) => run("transact", statements.touch, [claim.id], [claim.token], leaseSeconds)
  /**
   * A transaction that holds the job's row keeps renewals from it, and the reaper, too. When it is rolled back the lease
   * may have run out long ago, while its holder is alive: the lease is renewed before the reaper looks again.
   */
  const renewAfterRollback = (claim: Claim) => <A, E, R>(transaction: Effect.Effect<A, E, R>) =>
    Effect.flatMap(
      monotonicMillis,
      (from) =>
        Effect.onError(transaction, () =>
          Effect.flatMap(monotonicMillis, (now) =>
            now - from > Duration.toMillis(lease) / 4
              ? bounded({ within: "1 second" })(touch(claim))
              : Effect.void))
    )

  return {
    offer: (payloads, options = {}) => {
      if (payloads.length === 0) return Effect.succeed([])
      const { delay = Duration.zero, ids = payloads.map(() => randomUUID()) } = options
      const keptFor = keepIdForMillis(options)
      const fault = idsFault(payloads.length, ids)
      if (fault !== undefined) return failure("offer")(fault)
      const seconds = keptFor === undefined ? null : keptFor / 1_000
      return encoded("offer", () => payloads.map(json)).pipe(
        Effect.flatMap((texts) => run("offer", statements.offer, ids, texts, Duration.toSeconds(delay), seconds)),
        Effect.as(ids)
      )
    },

    wait: wakeUp.wait,

    claim: (limit, { orphan = true } = {}) =>
      Effect.gen(function*() {
        if (limit < 1) return []
        yield* wakeUp.reset
        const rows = yield* Effect.tapErrorCause(
          run("claim", statements.claim, limit, leaseSeconds, orphan),
          () => wakeUp.notify
        )
        const claims = rows.map(toClaim)
        const another = orphan && !claims.some(({ orphan }) => orphan)
        yield* rows.length === limit ? wakeUp.notify : run("claim", statements.due, another).pipe(
          Effect.flatMap(([row]) => wakeUp.setDue(row?.due as number | undefined)),
          // The jobs are leased already: an error must not lose them.
          Effect.catchAllCause(() => wakeUp.notify)
        )
        return claims
      }).pipe(Effect.uninterruptible),

    // Settling comes first: it is the fence, and locks the job's row until the writes are committed along with it.
    transact: (claim, writes, how) => {
      const body = settlement(claim, how).pipe(
        Effect.zipRight(writes),
        how._tag === "Ack" || how.handBack ? (effect) => effect : Effect.zipLeft(touch(claim))
      )
      const inTransaction = renewAfterRollback(claim)(transaction(sql, body, failure("transact")))
      if (how._tag !== "Ack" || !Object.is(writes, Effect.void)) return inTransaction
      // One statement is a transaction by itself, unless the caller has one that it must join.
      return Effect.flatMap(
        Effect.serviceOption(TransactionTag),
        Option.match({
          onNone: () =>
            acknowledge(claim).pipe(
              Effect.filterOrFail((held) => held, () => new LeaseLost({ queue: name, id: claim.id })),
              Effect.zipRight(writes)
            ),
          onSome: () => inTransaction
        })
      )
    },

    retry: (claim, { delay, error }) =>
      Effect.asVoid(settle("retry", statements.retry, claim, storableText(error), Duration.toSeconds(delay))),

    deadLetter: (claim, error) =>
      Effect.asVoid(settle("deadLetter", statements.deadLetter, claim, storableText(error))),

    handBack: (claims) => settleAll(sql)("handBack", statements.handBack, claims),

    renew: (claims) => settleAll(reserved)("renew", statements.renew, claims, leaseSeconds),

    size: count("size", statements.size),

    find: (id) => Effect.map(find("find", id), Option.map(toStoredJob)),

    deadLetters: {
      list: (limit, after) =>
        Effect.map(
          run(
            "deadLetters.list",
            statements.deadLetters,
            limit,
            after === undefined ? null : DateTime.formatIso(after.failedAt),
            after?.id ?? null
          ),
          Array.map(toDeadLetter)
        ),
      get: (id) =>
        Effect.map(
          find("deadLetters.get", id),
          (row) => Option.map(Option.filter(row, ({ state }) => state === "dead"), toDeadLetter)
        ),
      redrive: (ids, options) =>
        count("deadLetters.redrive", statements.redrive, ids.filter(isStorableId), options?.fromStart === true),
      discard: (ids) => count("deadLetters.discard", statements.discard, ids.filter(isStorableId))
    }
  }
}
