import { Duration, Effect, Option } from "effect"
import { randomUUID } from "node:crypto"
import { transaction } from "../../../database/contract.js"
import { idsFault, isStorableId } from "../../internal/jobIds.js"
import { toJob } from "../../internal/jobRecord.js"
import { type Claim, type JobQueue, JobSourceError, LeaseLost, type Settlement } from "../../JobSource.js"
import type { Ledger } from "./ledger.js"
import { letters } from "./letters.js"
import { isTicket, toStoredJob } from "./rows.js"

const json = JSON.stringify

/** Text that Postgres can store. */
const storable = (text: string) => text.replaceAll("\u0000", "\uFFFD")

/** The number of a claim in the ledger, and the engine's own claim. */
const tokenOf = (number: string, engine: Claim) => `${number} ${engine.token}`
const numberOf = ({ token }: Claim) => token.slice(0, token.indexOf(" "))
const engineClaim = (claim: Claim): Claim => ({ ...claim, token: claim.token.slice(claim.token.indexOf(" ") + 1) })

/** A job whose row is busy is looked at again after a while. */
const busy = { delay: Duration.seconds(1), error: "its last holder is in a transaction" }

/** The queue of an engine, with the jobs in the ledger; `reserved` is the same one, on a connection that jobs never hold. */
export const make = (ledger: Ledger, reserved: Ledger, engine: JobQueue): JobQueue => {
  const { failure, queue, run, sql, statements } = ledger
  const none: ReadonlyArray<Claim> = []

  /** The ledger has it already, so the engine only has to hear of it; if it does not, it gives out the job once more. */
  const tellEngine = (told: Effect.Effect<unknown, unknown>) =>
    Effect.catchAll(told, (error) => Effect.logDebug(`${queue}: the engine could not be told`, error))
  const ackEngine = (claim: Claim) => tellEngine(engine.transact(claim, Effect.void, { _tag: "Ack" }))

  const fenced = (claim: Claim, operation: string, statement: string, ...values: ReadonlyArray<unknown>) =>
    run(operation, statement, claim.id, numberOf(claim), ...values).pipe(
      Effect.filterOrFail((rows) => rows.length === 1, () => new LeaseLost({ queue, id: claim.id })),
      Effect.asVoid
    )

  const settle = (claim: Claim, how: Settlement) => {
    if (how._tag === "Ack") return fenced(claim, "transact", statements.ack)
    const statement = how.handBack ? statements.checkpointAndHandBack : statements.checkpoint
    return fenced(claim, "transact", statement, json(how.cursor ?? null))
  }

  /** One statement for all of them: who has no row is done with, who has a busy one comes later. */
  const register = (given: ReadonlyArray<Claim>) =>
    Effect.gen(function*() {
      const strangers = given.filter(({ payload }) => !isTicket(payload))
      if (strangers.length > 0) yield* reserved.run("claim", statements.adopt, json(strangers))
      const rows = yield* reserved.run("claim", statements.register, given.map(({ id }) => id))
      const found = new Map(rows.map((row) => [row.id as string, row]))
      const claims: Array<Claim> = []
      for (const claim of given) {
        const row = found.get(claim.id)
        if (row === undefined) yield* ackEngine(claim)
        else if (row.claim === null) yield* tellEngine(engine.retry(claim, busy))
        else claims.push({ ...toJob(row), token: tokenOf(row.claim as string, claim) })
      }
      return claims
    })

  return {
    offer: (payloads, { delay = Duration.zero, ids = payloads.map(() => randomUUID()) } = {}) => {
      if (payloads.length === 0) return Effect.succeed([])
      const cause = idsFault(payloads.length, ids)
      if (cause !== undefined) return new JobSourceError({ operation: "offer", queue, cause })
      const jobs = payloads.map((payload, n) => ({ id: ids[n], payload }))
      return Effect.as(run("offer", statements.offer, json(jobs), Duration.toSeconds(delay)), ids)
    },

    wait: engine.wait,

    claim: (limit) =>
      Effect.flatMap(
        engine.claim(limit),
        (given) =>
          given.length === 0 ? Effect.succeed(none) : Effect.tapError(register(given), () =>
            // Nobody has begun with them. If the engine is away as well, their leases run out.
            Effect.ignore(engine.handBack(given)))
      ).pipe(Effect.uninterruptible),

    // Settling comes first: it is the fence, and holds the job's row until the writes are committed along with it.
    transact: (claim, writes, how) =>
      Effect.uninterruptibleMask((restore) => {
        const body = Effect.zipRight(settle(claim, how), writes)
        // One statement is a transaction already.
        const nothing = (writes as unknown) === Effect.void
        return Effect.tap(restore(nothing ? body : transaction(sql, body, failure("transact"))), () => {
          if (how._tag === "Ack") return ackEngine(engineClaim(claim))
          return how.handBack ? tellEngine(engine.handBack([engineClaim(claim)])) : Effect.void
        })
      }),

    retry: (claim, { delay, error }) =>
      Effect.zipRight(
        fenced(claim, "retry", statements.fail, storable(error)),
        engine.retry(engineClaim(claim), { delay, error })
      ),

    deadLetter: (claim, error) =>
      Effect.zipRight(
        fenced(claim, "deadLetter", statements.bury, storable(error)),
        ackEngine(engineClaim(claim))
      ),

    handBack: (claims) =>
      claims.length === 0 ? Effect.succeed(none) : Effect.gen(function*() {
        const rows = yield* run("handBack", statements.handBack, claims.map(({ id }) => id), claims.map(numberOf))
        const ours = new Set(rows.map(({ claim }) => claim))
        const held = claims.filter((claim) => ours.has(numberOf(claim)))
        const gone = new Set((yield* engine.handBack(held.map(engineClaim))).map(({ id }) => id))
        return claims.filter((claim) => !ours.has(numberOf(claim)) || gone.has(claim.id))
      }),

    // What the engine does not have any more it may have forgotten altogether.
    renew: (claims) =>
      Effect.flatMap(engine.renew(claims.map(engineClaim)), (lost) => {
        if (lost.length === 0) return Effect.succeed(none)
        const gone = new Set(lost.map(({ id, token }) => `${id} ${token}`))
        return Effect.as(
          Effect.ignore(reserved.run("renew", statements.offerAgain, lost.map(({ id }) => id))),
          claims.filter((claim) => gone.has(`${claim.id} ${engineClaim(claim).token}`))
        )
      }),

    size: Effect.map(run("size", statements.size), ([row]) => row?.jobs as number),

    find: (id) =>
      !isStorableId(id)
        ? Effect.succeedNone
        : Effect.map(run("find", statements.find, id), ([row]) => Option.map(Option.fromNullable(row), toStoredJob)),

    deadLetters: letters(ledger)
  }
}
