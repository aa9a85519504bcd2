import { Duration, Effect } from "effect"
import { randomUUID } from "node:crypto"
import { afterCommit } from "../../../../core/internal/afterCommit.js"
import { transaction } from "../../../database/contract.js"
import { toJob } from "../../internal/jobRecord.js"
import { idsFault, keepIdForMillis, storableText } from "../../internal/storable.js"
import { type Claim, type JobQueue, JobSourceError, LeaseLost, type Settlement } from "../../JobSource.js"
import { deadLetters, find, type OutboxRows } from "./outboxRows.js"
import { isReference } from "./relay.js"

const json = JSON.stringify

/** A token is the fence, which is the number of the claim in the table, and the token of the engine's claim. */
const tokenOf = (fence: string, engineClaim: Claim) => `${fence} ${engineClaim.token}`
const fenceOf = ({ token }: Claim) => token.slice(0, token.indexOf(" "))
const engineClaim = (claim: Claim): Claim => ({ ...claim, token: claim.token.slice(claim.token.indexOf(" ") + 1) })

/** A job whose row is locked by its last holder is claimed again after a while. */
const lockedRow = { delay: Duration.seconds(1), error: "its last holder is in a transaction" }

/** A queue whose jobs are rows of the table. `reserved` is the same rows, over a connection that jobs never hold. */
export const make = (rows: OutboxRows, reserved: OutboxRows, engine: JobQueue): JobQueue => {
  const { failure, queue, run, sql, statements } = rows
  const none: ReadonlyArray<Claim> = []

  /** Values that are no JSON, such as a `bigint`, are refused. */
  const encoded = (operation: string, value: unknown) =>
    Effect.try({ try: () => json(value), catch: failure(operation) })

  /** Updates the engine after the table. An engine that misses the update delivers the job again, and the row decides. */
  const updateEngine = (update: Effect.Effect<unknown, unknown>) =>
    Effect.catchAll(update, (error) => Effect.logDebug(`${queue}: the engine could not be updated`, error))
  const ackEngine = (claim: Claim) => updateEngine(engine.transact(claim, Effect.void, { _tag: "Ack" }))

  const fenced = (claim: Claim, operation: string, statement: string, ...values: ReadonlyArray<unknown>) =>
    run(operation, statement, claim.id, fenceOf(claim), ...values).pipe(
      Effect.filterOrFail((rows) => rows.length === 1, () => new LeaseLost({ queue, id: claim.id })),
      Effect.asVoid
    )

  const settle = (claim: Claim, how: Settlement) => {
    if (how._tag === "Ack") return fenced(claim, "transact", statements.ack)
    const statement = how.handBack ? statements.checkpointAndHandBack : statements.checkpoint
    return Effect.flatMap(
      encoded("transact", how.cursor ?? null),
      (cursor) => fenced(claim, "transact", statement, cursor)
    )
  }

  /** Claims the rows of jobs that the engine has delivered, in one statement. A job without a row is done. */
  const claimRows = (delivered: ReadonlyArray<Claim>) =>
    Effect.gen(function*() {
      const withoutRow = delivered.filter(({ payload }) => !isReference(payload))
      if (withoutRow.length > 0) yield* reserved.run("claim", statements.adopt, json(withoutRow))
      const rows = yield* reserved.run("claim", statements.claim, delivered.map(({ id }) => id))
      const found = new Map(rows.map((row) => [row.id as string, row]))
      const claims: Array<Claim> = []
      for (const claim of delivered) {
        const row = found.get(claim.id)
        if (row === undefined) yield* ackEngine(claim)
        else if (row.claim === null) yield* updateEngine(engine.retry(claim, lockedRow))
        else claims.push({ ...toJob(row), token: tokenOf(row.claim as string, claim), orphan: claim.orphan })
      }
      return claims
    })

  return {
    offer: (payloads, options = {}) => {
      if (payloads.length === 0) return Effect.succeed([])
      const { delay = Duration.zero, ids = payloads.map(() => randomUUID()) } = options
      const keptFor = keepIdForMillis(options)
      const cause = idsFault(payloads.length, ids)
      if (cause !== undefined) return new JobSourceError({ operation: "offer", queue, cause })
      const jobs = payloads.map((payload, n) => ({ id: ids[n], payload }))
      const seconds = keptFor === undefined ? null : keptFor / 1_000
      return encoded("offer", jobs).pipe(
        Effect.flatMap((text) => run("offer", statements.offer, text, Duration.toSeconds(delay), seconds)),
        Effect.as(ids)
      )
    },

    wait: engine.wait,

    claim: (limit, options) =>
      Effect.flatMap(
        engine.claim(limit, options),
        (delivered) =>
          delivered.length === 0 ? Effect.succeed(none) : Effect.tapError(claimRows(delivered), () =>
            // None of the jobs has begun. If the engine is away, too, their leases expire.
            Effect.ignore(engine.handBack(delivered)))
      ).pipe(Effect.uninterruptible),

    // Settling comes first: it is the fence, and locks the job's row until the writes are committed along with it.
    transact: (claim, writes, how) =>
      Effect.uninterruptibleMask((restore) => {
        const body = Effect.zipRight(settle(claim, how), writes)
        // One statement is a transaction already.
        const writesNothing = (writes as unknown) === Effect.void
        return Effect.tap(restore(writesNothing ? body : transaction(sql, body, failure("transact"))), () => {
          if (how._tag === "Ack") return afterCommit(ackEngine(engineClaim(claim)))
          return how.handBack ? afterCommit(updateEngine(engine.handBack([engineClaim(claim)]))) : Effect.void
        })
      }),

    retry: (claim, { delay, error }) =>
      Effect.zipRight(
        fenced(claim, "retry", statements.retry, storableText(error)),
        engine.retry(engineClaim(claim), { delay, error })
      ),

    deadLetter: (claim, error) =>
      Effect.zipRight(
        fenced(claim, "deadLetter", statements.deadLetter, storableText(error)),
        ackEngine(engineClaim(claim))
      ),

    handBack: (claims) =>
      claims.length === 0 ? Effect.succeed(none) : Effect.gen(function*() {
        const settled = yield* run("handBack", statements.handBack, claims.map(({ id }) => id), claims.map(fenceOf))
        const fences = new Set(settled.map(({ claim }) => claim))
        const held = claims.filter((claim) => fences.has(fenceOf(claim)))
        const lost = new Set((yield* engine.handBack(held.map(engineClaim))).map(({ id }) => id))
        return claims.filter((claim) => !fences.has(fenceOf(claim)) || lost.has(claim.id))
      }),

    // The engine may have lost its data, and these jobs with it: they are offered to it again.
    renew: (claims) =>
      Effect.flatMap(engine.renew(claims.map(engineClaim)), (lost) => {
        if (lost.length === 0) return Effect.succeed(none)
        const lostClaims = new Set(lost.map(({ id, token }) => `${id} ${token}`))
        return Effect.as(
          Effect.ignore(reserved.run("renew", statements.offerAgain, lost.map(({ id }) => id))),
          claims.filter((claim) => lostClaims.has(`${claim.id} ${engineClaim(claim).token}`))
        )
      }),

    size: Effect.map(run("size", statements.size), ([row]) => row?.jobs as number),

    find: (id) => find(rows, id),

    deadLetters: deadLetters(rows)
  }
}
