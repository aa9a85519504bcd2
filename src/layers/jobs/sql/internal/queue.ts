import type { SqlClient } from "@effect/sql"
import { Array, Clock, DateTime, Duration, Effect, Option } from "effect"
import type { PgBoss } from "pg-boss"
import { bounded } from "../../../../core/internal/bounded.js"
import { execute, TransactionTag } from "../../../database/contract.js"
import { causeOf, transaction } from "../../../database/contract.js"
import type { WakeUp } from "../../internal/wakeUp.js"
import { type Claim, type JobQueue, JobSourceError, LeaseLost, type Settlement } from "../../JobSource.js"
import { makeAcks } from "./acks.js"
import { drive, type Execute } from "./drive.js"
import type { Statements } from "./statements.js"
import { type Data, keyOf, toClaim, toDeadLetter, toStored, toStoredJob } from "./stored.js"

const json = JSON.stringify

/** Fences for statements, see `statementsOf`. */
const leases = (claims: ReadonlyArray<Claim>) =>
  json(claims.map(({ id, token }) => ({ id: keyOf(id), token: Number(token) })))

/** Text that Postgres can store. */
const storable = (text: string) => text.replaceAll("\u0000", "\uFFFD")

/** The queue of a pg-boss that `open` has opened. */
export const make = (options: {
  readonly boss: PgBoss
  readonly name: string
  /** Whole seconds: that is what pg-boss stores. */
  readonly leaseSeconds: number
  /** Where jobs are kept, in the transaction of whoever calls. */
  readonly sql: SqlClient.SqlClient
  /** A client that never waits behind jobs. */
  readonly reserved: SqlClient.SqlClient
  readonly statements: Statements
  readonly wakeUp: WakeUp
}): JobQueue => {
  const { boss, leaseSeconds, name, reserved, sql, statements, wakeUp } = options

  const on = (client: SqlClient.SqlClient): Execute => (text, values) =>
    Effect.mapError(execute(client, text, values), causeOf)
  const run = on(sql)
  const failure = (operation: string) => (cause: unknown) => new JobSourceError({ operation, queue: name, cause })

  /** How many jobs a statement was about. */
  const count = (operation: string, statement: string, ...values: ReadonlyArray<unknown>) =>
    run(statement, [name, ...values]).pipe(
      Effect.map(([row]) => row?.jobs as number),
      Effect.mapError(failure(operation))
    )
  /** Settles jobs by a statement that names their leases, and gives those claims whose lease was gone. */
  const settleAll = (operation: string, statement: string) => (claims: ReadonlyArray<Claim>) =>
    claims.length === 0 ? Effect.succeed([]) : run(statement, [name, leases(claims)]).pipe(
      Effect.map(([row]) => {
        const ours = new Set(row?.leases as ReadonlyArray<string>)
        return claims.filter(({ id, token }) => !ours.has(`${keyOf(id)} ${token}`))
      }),
      Effect.mapError(failure(operation))
    )
  const acknowledge = makeAcks(settleAll("transact", statements.ack))
  /** Settles one job, or says that it is not ours to settle. */
  const settle = (claim: Claim, statement: string, ...values: ReadonlyArray<unknown>) =>
    Effect.map(run(statement, [name, leases([claim]), ...values]), ([row]) => row?.jobs === 1)
  const orLeaseLost = (claim: Claim, operation: string) => <R>(settled: Effect.Effect<boolean, unknown, R>) =>
    settled.pipe(
      Effect.mapError(failure(operation)),
      Effect.filterOrFail((ours) => ours, () => new LeaseLost({ queue: name, id: claim.id })),
      Effect.asVoid
    )

  const settlement = (claim: Claim, how: Settlement) => {
    if (how._tag === "Ack") return settle(claim, statements.ack)
    const statement = how.handBack ? statements.checkpointAndHandBack : statements.checkpoint
    return settle(claim, statement, json(how.cursor ?? null))
  }

  const touch = (claim: Claim) => run(statements.touch, [name, leases([claim])])
  /**
   * While a transaction has the job's row nobody can renew the lease, and nobody judges it. When it is rolled back the lease
   * may have run out long ago: whoever held it is there, and renews it before the next look.
   */
  const keepingLease = (claim: Claim) => <A, E, R>(transaction: Effect.Effect<A, E, R>) =>
    Effect.flatMap(
      Clock.currentTimeMillis,
      (from) =>
        Effect.onError(transaction, () =>
          Effect.flatMap(Clock.currentTimeMillis, (now) =>
            now - from > leaseSeconds * 250 ? bounded({ within: "1 second" })(touch(claim)) : Effect.void))
    )

  return {
    offer: (payloads, { delay = Duration.zero, ids } = {}) => {
      if (payloads.length === 0) return Effect.succeed([])
      const jobs = payloads.map((payload, nth) => toStored(payload, ids?.[nth]))
      const stored = json(jobs.map((job) => job.stored))
      return run(statements.offer, [name, stored, Duration.toSeconds(delay), leaseSeconds]).pipe(
        Effect.as(jobs.map(({ id }) => id)),
        Effect.mapError(failure("offer"))
      )
    },

    wait: wakeUp.wait,

    claim: (limit) =>
      Effect.gen(function*() {
        if (limit < 1) return []
        yield* wakeUp.reset
        const fetched = yield* drive(
          run,
          (db) => boss.fetch<Data>(name, { db, batchSize: limit, includeMetadata: true })
        ).pipe(
          Effect.tapErrorCause(() => wakeUp.notify),
          Effect.mapError(failure("claim"))
        )
        yield* fetched.length === limit ? wakeUp.notify : run(statements.due, [name]).pipe(
          Effect.flatMap(([row]) => wakeUp.setDue(row?.due as number | null ?? undefined)),
          // The jobs are ours already: what else goes wrong must not lose them.
          Effect.catchAllCause(() => wakeUp.notify)
        )
        return fetched.sort((a, b) => a.data.at - b.data.at).map(toClaim)
      }).pipe(Effect.uninterruptible),

    // Settling comes first: it is the fence, and holds the job's row until the writes are committed along with it.
    transact: (claim, writes, how) => {
      const body = settlement(claim, how).pipe(
        orLeaseLost(claim, "transact"),
        Effect.zipRight(writes),
        how._tag === "Ack" || how.handBack ? (effect) => effect : Effect.zipLeft(Effect.mapError(
          touch(claim),
          failure("transact")
        ))
      )
      const inTransaction = transaction(sql, body, (error) => failure("transact")(causeOf(error))).pipe(
        keepingLease(claim)
      )
      if (how._tag !== "Ack" || !Object.is(writes, Effect.void)) return inTransaction
      // Nothing to hold together: one statement is a transaction by itself, unless the caller has one that it must join.
      return Effect.flatMap(
        Effect.serviceOption(TransactionTag),
        Option.match({
          onNone: () => Effect.zipRight(orLeaseLost(claim, "transact")(acknowledge(claim)), writes),
          onSome: () => inTransaction
        })
      )
    },

    retry: (claim, { delay, error }) =>
      settle(claim, statements.retry, storable(error), Duration.toSeconds(delay)).pipe(orLeaseLost(claim, "retry")),

    deadLetter: (claim, error) =>
      settle(claim, statements.deadLetter, storable(error)).pipe(orLeaseLost(claim, "deadLetter")),

    handBack: settleAll("handBack", statements.handBack),

    renew: (claims) =>
      claims.length === 0 ? Effect.succeed([]) : on(reserved)(statements.renew, [name, leases(claims)]).pipe(
        Effect.map((rows) => {
          const ours = new Set(rows.map(({ id, token }) => `${id} ${token}`))
          return claims.filter(({ id, token }) => !ours.has(`${keyOf(id)} ${token}`))
        }),
        Effect.mapError(failure("renew"))
      ),

    size: count("size", statements.size),

    find: (id) =>
      run(statements.find, [name, keyOf(id)]).pipe(
        Effect.map((rows) => Option.map(Array.head(rows), toStoredJob)),
        Effect.mapError(failure("find"))
      ),

    deadLetters: {
      list: (limit, after) =>
        run(statements.deadLetters, [
          name,
          limit,
          after === undefined ? null : DateTime.formatIso(after.failedAt),
          after === undefined ? null : keyOf(after.id)
        ]).pipe(
          Effect.map((rows) => rows.map(toDeadLetter)),
          Effect.mapError(failure("deadLetters.list"))
        ),
      get: (id) =>
        run(statements.find, [name, keyOf(id)]).pipe(
          Effect.map((rows) => Option.map(Array.findFirst(rows, (row) => row.state === "failed"), toDeadLetter)),
          Effect.mapError(failure("deadLetters.get"))
        ),
      redrive: (ids, options) =>
        count("deadLetters.redrive", statements.redrive, json(ids.map(keyOf)), options?.fromStart === true),
      discard: (ids) => count("deadLetters.discard", statements.discardDead, json(ids.map(keyOf)))
    }
  }
}
