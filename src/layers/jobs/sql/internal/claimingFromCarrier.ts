import { Duration, Effect } from "effect"
import { claimant } from "../../internal/claimant.js"
import { isStorableId } from "../../internal/storable.js"
import type { CarrierQueue, Delivery } from "../../JobCarrier.js"
import { makeAdopt } from "./adopting.js"
import type { CarrierStatements } from "./carrierStatements.js"
import type { Claiming } from "./claiming.js"
import { type Run, toClaim } from "./rows.js"
import type { Statements } from "./statements.js"

/**
 * Finds jobs through a carrier: it delivers ids, and their rows are claimed in one statement. A delivery is acknowledged as
 * soon as that statement has committed, whatever has become of it: what can run later is offered again then.
 *
 * - A process that dies before the statement leaves the delivery to the carrier, which delivers it again.
 * - One that dies after it leaves a row whose lease expires, and perhaps a delivery that finds nothing to claim.
 * - Between the statement and the acknowledgement a job may have become available again, and its offer was ignored
 *   then, because the carrier still held the id. So what was not claimed is looked at once more afterwards.
 */
export const claimingFromCarrier = (options: {
  readonly queue: string
  readonly carrier: CarrierQueue
  /** On the reserved connection: a claim must not wait for jobs while it has deliveries. */
  readonly run: Run
  readonly statements: Statements
  readonly carrierStatements: CarrierStatements
  readonly lease: Duration.Duration
}): Claiming & {
  /** An orphan is due. Orphans are not carried. */
  readonly orphanDue: Effect.Effect<void>
} => {
  const { carrier, carrierStatements, lease, queue, run, statements } = options
  const by = claimant()
  const adopt = makeAdopt(queue, run, carrierStatements)
  const orphanLatch = Effect.unsafeMakeLatch(true)
  let orphanMayBeDue = true
  const orphanDue = Effect.suspend(() => {
    orphanMayBeDue = true
    return orphanLatch.open
  })

  const claimRows = (deliveries: ReadonlyArray<Delivery>, limit: number, orphan: boolean) =>
    Effect.gen(function*() {
      yield* adopt(deliveries)
      const ids = deliveries.map(({ id }) => id).filter(isStorableId)
      const rows = yield* run("claim", statements.claimDelivered, ids, Duration.toSeconds(lease), orphan, by, limit)
      return rows.map(toClaim)
    })

  /** The rows are claimed already: an error must not lose them. A delivery that is not acknowledged comes again. */
  const acknowledge = (deliveries: ReadonlyArray<Delivery>, unclaimed: ReadonlyArray<string>) =>
    carrier.ack(deliveries).pipe(
      Effect.zipRight(
        unclaimed.length === 0 ? Effect.void : Effect.asVoid(run("claim", carrierStatements.offerAgain, unclaimed))
      ),
      Effect.catchAll((error) => Effect.logDebug(`${queue}: deliveries could not be acknowledged`, error))
    )

  return {
    orphanDue,

    wait: Effect.interruptible(Effect.raceFirst(carrier.wait, orphanLatch.await)),

    claim: (limit, { orphan = true } = {}) =>
      Effect.gen(function*() {
        if (limit < 1) return []
        const deliveries = yield* carrier.receive(limit)
        yield* orphanLatch.close
        if (deliveries.length === 0 && !(orphan && orphanMayBeDue)) return []
        if (orphan) orphanMayBeDue = false
        const claims = yield* Effect.tapErrorCause(
          claimRows(deliveries, limit, orphan),
          () => orphan ? orphanDue : Effect.void
        )
        if (claims.some(({ orphan }) => orphan)) orphanMayBeDue = true
        if (deliveries.length > 0) {
          const claimed = new Set(claims.map(({ id }) => id))
          const unclaimed = deliveries.map(({ id }) => id).filter((id) => !claimed.has(id) && isStorableId(id))
          yield* acknowledge(deliveries, unclaimed)
        }
        return claims
      }).pipe(Effect.uninterruptible)
  }
}
