import type { SqlClient } from "@effect/sql"
import { Duration, Effect } from "effect"
import { executeOwn } from "../../../database/contract.js"
import { jittered } from "../../internal/jittered.js"
import type { CarrierQueue } from "../../JobCarrier.js"
import type { CarrierStatements } from "./carrierStatements.js"

/** The queue of the carrier that holds the sentinel. It has a colon, so it is apart from those of pools. */
export const sentinelQueue = (table: string): string => `${table}:sentinel`

/** While the carrier holds this id, which is never received, it has kept its data. */
export const sentinel = "sentinel"

/** How many rows one statement has offered again, so that each is short. */
const batchSize = 5_000

/**
 * Has all rows offered again to a carrier that has lost its data: it has lost the sentinel with it. Looks every `every`, without
 * end. Two processes that find it missing at the same time do the same work, which is harmless: the carrier ignores ids that
 * it holds, or the ledger drops what is delivered twice.
 */
export const watchCarrier = (options: {
  readonly sql: SqlClient.SqlClient
  readonly statements: CarrierStatements
  /** See `sentinelQueue`. */
  readonly carrier: CarrierQueue
  /** The latest time at which a row is offered again anyway. */
  readonly latest: Duration.Duration
  readonly every: Duration.Duration
}): Effect.Effect<never> => {
  const { carrier, every, latest, sql, statements } = options

  const offerAgain = (queue: string) => {
    const batch = Effect.map(
      executeOwn(sql, statements.offerAllAgain, [queue, batchSize, Duration.toSeconds(latest)]),
      ([row]) => row?.jobs as number
    )
    return Effect.iterate({ all: 0, last: batchSize }, {
      while: ({ last }) => last === batchSize,
      body: ({ all }) => Effect.map(batch, (last) => ({ all: all + last, last }))
    })
  }

  const look = Effect.gen(function*() {
    if (yield* carrier.holds(sentinel)) return
    for (const { queue } of yield* executeOwn(sql, statements.queues)) {
      const { all } = yield* offerAgain(queue as string)
      if (all > 0) yield* Effect.logWarning(`${queue}: the carrier has no data, ${all} jobs are offered to it again`)
    }
    yield* carrier.offer([sentinel])
  })

  return look.pipe(
    // The carrier or the database is away: the relay says so.
    Effect.catchAllCause((cause) => Effect.logDebug("could not look whether the carrier has its data", cause)),
    Effect.zipRight(Effect.flatMap(jittered(every), Effect.sleep)),
    Effect.forever
  )
}
