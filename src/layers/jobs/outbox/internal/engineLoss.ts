import type { SqlClient } from "@effect/sql"
import { Duration, Effect, Option, Random } from "effect"
import { execute } from "../../../database/contract.js"
import type { JobQueue } from "../../JobSource.js"
import type { Statements } from "./statements.js"

/** The queue of the engine that holds the sentinel. It has a colon, so it is apart from those of pools. */
export const sentinelQueue = (table: string): string => `${table}:sentinel`

const id = "sentinel"
const sentinel = { lastcall: "While this job is here, the engine has kept its data. It is never claimed." }

/** How many rows one statement offers again, so that each is short. */
const batchSize = 5_000

/**
 * Offers all rows again to an engine that has lost its data: it has lost the sentinel with it, a job that is never claimed.
 * Looks every `every`, without end. Two processes that find it missing at the same time do the same work, which is
 * harmless: the engine ignores jobs that it holds.
 */
export const watchEngine = (options: {
  readonly sql: SqlClient.SqlClient
  readonly statements: Statements
  /** See `sentinelQueue`. */
  readonly engine: JobQueue
  /** The latest time at which a row is offered again anyway. */
  readonly latest: Duration.Duration
  readonly every: Duration.Duration
}): Effect.Effect<never> => {
  const { engine, every, latest, sql, statements } = options

  const offerAgain = (queue: string) => {
    const batch = Effect.map(
      execute(sql, statements.offerMovedAgain, [queue, batchSize, Duration.toSeconds(latest)]),
      ([row]) => row?.jobs as number
    )
    return Effect.iterate({ all: 0, last: batchSize }, {
      while: ({ last }) => last === batchSize,
      body: ({ all }) => Effect.map(batch, (last) => ({ all: all + last, last }))
    })
  }

  const look = Effect.gen(function*() {
    if (Option.isSome(yield* engine.find(id))) return
    for (const { queue } of yield* execute(sql, statements.queues)) {
      const { all } = yield* offerAgain(queue as string)
      if (all > 0) yield* Effect.logWarning(`${queue}: the engine has no data, ${all} jobs are offered to it again`)
    }
    yield* engine.offer([sentinel], { ids: [id], keepIdFor: 0 })
  })

  return look.pipe(
    // The engine or the database is away: the relay says so.
    Effect.catchAllCause((cause) =>
      Effect.logDebug("the outbox could not look whether the engine has its data", cause)
    ),
    Effect.zipRight(
      Effect.flatMap(Random.nextRange(0.75, 1.25), (jitter) => Effect.sleep(Duration.times(every, jitter)))
    ),
    Effect.forever
  )
}
