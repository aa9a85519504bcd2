import type { SqlClient } from "@effect/sql"
import { Clock, Duration, Effect, Random } from "effect"
import type { Row } from "../../../database/contract.js"

/** How often in a row it may have been kept waiting before it judges all the same. */
const mostPostponed = 3

/**
 * Makes the jobs of dead processes available again, for as long as it runs.
 *
 * Whoever does not renew a lease is dead, unless nobody could: the database was away, or one long transaction had its
 * only connection, or this process was not running. Then this fiber was kept waiting as well. So it looks at the clock
 * once it has its connection: if it was away for longer than a renewal may take, it judges nobody until all who live
 * have had the time to renew. Not for ever: a machine may be so busy that it is always late.
 *
 * The statement is a transaction of its own: in one of ours, a process that is frozen would keep the lock that lets one
 * process judge at a time.
 */
export const expiring = (options: {
  readonly sql: SqlClient.SqlClient
  readonly statement: string
  readonly queues: () => ReadonlyArray<string>
  readonly every: Duration.Duration
  readonly renewEvery: Duration.Duration
}): Effect.Effect<never> =>
  Effect.gen(function*() {
    const { every, queues, renewEvery, sql, statement } = options
    const away = Duration.toMillis(every) + Duration.toMillis(renewEvery)
    let lastSeen = yield* Clock.currentTimeMillis
    let judgeFrom = lastSeen
    let late = 0

    const look = Effect.gen(function*() {
      const connection = yield* sql.reserve
      const now = yield* Clock.currentTimeMillis
      late = now - lastSeen > away ? late + 1 : 0
      if (late > 0 && late <= mostPostponed) judgeFrom = now + 2 * Duration.toMillis(renewEvery)
      lastSeen = now
      const names = queues()
      if (now < judgeFrom || names.length === 0) return []
      return (yield* connection.execute(statement, [names], undefined)) as ReadonlyArray<Row>
    })
    const sweep = Effect.flatMap(Effect.scoped(look), (rows) =>
      Effect.forEach(rows, ({ jobs, queue }) =>
        Effect.logWarning("Leases ran out, their jobs are available again").pipe(
          Effect.annotateLogs({ queue, jobs })
        ), { discard: true }))

    return yield* sweep.pipe(
      Effect.catchAllCause((cause) =>
        Effect.logDebug("Leases could not be looked at, trying again", cause)
      ),
      // A server that does not answer is given up after a while. Whoever ends this need not wait for that.
      Effect.disconnect,
      Effect.zipRight(
        Effect.flatMap(Random.nextRange(0.75, 1), (jitter) => Effect.sleep(Duration.times(every, jitter)))
      ),
      Effect.forever
    )
  })
