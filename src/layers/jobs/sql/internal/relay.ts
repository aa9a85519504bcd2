import type { SqlClient } from "@effect/sql"
import { Array, Duration, Effect, Record } from "effect"
import { backoff } from "../../../../core/internal/backoff.js"
import { executeOwn, type Row } from "../../../database/contract.js"
import type { WakeUp } from "../../internal/wakeUp.js"
import type { CarrierQueue } from "../../JobCarrier.js"
import type { JobSourceError } from "../../JobSource.js"
import type { CarrierStatements } from "./carrierStatements.js"
import type { KeyTurns } from "./keyTurns.js"
import { failureOf, runOn } from "./rows.js"

/** How many rows are offered to the carrier at a time. */
const batchSize = 200

/** After what time a row that still waits is offered again, to a carrier that may have lost its id. */
export interface OfferAgainWindow {
  readonly earliest: Duration.Duration
  readonly latest: Duration.Duration
}

/** Offers the rows of one queue to the carrier, those of one batch in order. */
export interface Relay {
  /** Offers the rows that are due. Returns their number. */
  readonly flush: Effect.Effect<number, JobSourceError>
  /** Offers rows as they become due, without end. */
  readonly run: Effect.Effect<never>
}

const idsOf = (rows: ReadonlyArray<Row>) => rows.map(({ id }) => id as string)

const retryWhileAway = backoff("5 seconds")

export const makeRelay = (options: {
  readonly queue: string
  readonly sql: SqlClient.SqlClient
  readonly statements: CarrierStatements
  readonly turns: KeyTurns
  readonly carrier: CarrierQueue
  readonly wakeUp: WakeUp
  readonly offerAgain: OfferAgainWindow
  /** Runs when an orphan is due. */
  readonly onOrphan: Effect.Effect<void>
}): Relay => {
  const { carrier, onOrphan, queue, sql, statements, turns, wakeUp } = options
  const run = runOn(sql, queue)
  const earliest = Duration.toSeconds(options.offerAgain.earliest)
  const latest = Duration.toSeconds(options.offerAgain.latest)
  const take = Effect.mapError(
    executeOwn(sql, statements.take(queue, batchSize, earliest, latest)),
    failureOf(queue)("relay")
  )

  const offer = (rows: ReadonlyArray<Row>, options: { readonly first: boolean; readonly priority?: number }) =>
    rows.length === 0 ? Effect.void : carrier.offer(idsOf(rows), options)

  /**
   * Takes rows, which sets when they are offered next, and offers them. No two processes take the same row. A process that
   * dies in between has only delayed its rows.
   */
  const offerBatch = Effect.gen(function*() {
    const taken = yield* take
    const [others, first] = Array.partition(taken, (row) => row.first as boolean)
    const byPriority = Record.toEntries(Array.groupBy(others, (row) => String(row.priority)))
    yield* offer(first, { first: true }).pipe(
      Effect.zipRight(Effect.forEach(
        byPriority,
        ([priority, rows]) => offer(rows, { first: false, priority: Number(priority) }),
        { discard: true }
      )),
      Effect.tapError(() => Effect.ignore(run("relay", statements.untake, idsOf(taken))))
    )
    return taken.length
  }).pipe(Effect.uninterruptible)

  const flush: Effect.Effect<number, JobSourceError> = Effect.flatMap(
    offerBatch,
    (offered) => offered < batchSize ? Effect.succeed(offered) : Effect.map(flush, (more) => offered + more)
  )

  const offerDue = Effect.gen(function*() {
    yield* wakeUp.reset
    yield* turns.advance(queue, Number.MAX_SAFE_INTEGER)
    yield* flush
    const [row] = yield* run("relay", statements.due)
    yield* wakeUp.setDue(turns.dueOf(queue, row))
    if (row?.orphan === true) yield* onOrphan
  })

  let away = false
  const logAway = (error: JobSourceError) =>
    Effect.suspend(() => {
      if (away) return Effect.void
      away = true
      return Effect.logWarning(`${queue}: jobs cannot be offered to the carrier, they wait in the table`, error)
    })
  const logBack = Effect.suspend(() => {
    if (!away) return Effect.void
    away = false
    return Effect.logInfo(`${queue}: jobs are offered to the carrier again`)
  })

  return {
    flush,
    run: offerDue.pipe(
      Effect.tapError(logAway),
      Effect.retry(retryWhileAway),
      Effect.zipRight(logBack),
      // The schedule never ends, and a defect of a driver must not end the relay.
      Effect.catchAllCause((cause) =>
        Effect.zipRight(
          Effect.logError(`${queue}: jobs could not be offered to the carrier, trying again`, cause),
          Effect.sleep("5 seconds")
        )
      ),
      Effect.zipRight(wakeUp.wait),
      Effect.forever
    )
  }
}
