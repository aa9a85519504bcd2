import { Duration, Effect } from "effect"
import { backoff } from "../../../../core/internal/backoff.js"
import type { WakeUp } from "../../internal/wakeUp.js"
import type { JobQueue, JobSourceError } from "../../JobSource.js"
import type { OutboxRows } from "./outboxRows.js"

/** The payload of a job in the engine, in place of the one in its row. */
const reference = { lastcall: "outbox" }

/** Whether the engine's job refers to a row. A job that was added to the engine directly has a payload of its own. */
export const isReference = (payload: unknown): boolean =>
  typeof payload === "object" && payload !== null && "lastcall" in payload && payload.lastcall === reference.lastcall

/** How many rows are offered to the engine at a time. */
const batchSize = 200

/** After what time a row is offered again, to an engine that may have lost it. */
export interface RedeliveryWindow {
  readonly earliest: Duration.Duration
  readonly latest: Duration.Duration
}

/** Offers the rows of one queue to the engine, those of one batch in the order of their offers. */
export interface Relay {
  /** Offers the rows that are due. Returns their number. */
  readonly flush: Effect.Effect<number, JobSourceError>
  /** Offers rows as they become due, without end. */
  readonly run: Effect.Effect<never>
}

const retryWhileAway = backoff("5 seconds")

export const makeRelay = (options: {
  readonly rows: OutboxRows
  readonly engine: JobQueue
  readonly wakeUp: WakeUp
  readonly redelivery: RedeliveryWindow
}): Relay => {
  const { engine, redelivery, rows, wakeUp } = options
  const { failure, queue, run, statements } = rows
  const earliest = Duration.toSeconds(redelivery.earliest)
  const latest = Duration.toSeconds(redelivery.latest)

  /**
   * Takes rows, which sets when they are offered next, and offers them. No two processes take the same row. A process that
   * dies in between has only delayed its rows.
   */
  const offerBatch = Effect.gen(function*() {
    const taken = yield* run("relay", statements.take, batchSize, earliest, latest)
    if (taken.length === 0) return 0
    const ids = taken
      .map(({ id, number }) => ({ id: id as string, number: BigInt(number as string) }))
      .sort((a, b) => a.number < b.number ? -1 : 1)
      .map(({ id }) => id)
    yield* Effect.tapError(
      // The table keeps the ids: the engine must take those of dead letters again.
      engine.offer(ids.map(() => reference), { ids, keepIdFor: 0 }),
      () => Effect.ignore(run("relay", statements.untake, ids))
    )
    return taken.length
  }).pipe(
    Effect.catchTag("QueueFull", (error) => Effect.fail(failure("relay")(error))),
    Effect.uninterruptible
  )

  const flush: Effect.Effect<number, JobSourceError> = Effect.flatMap(
    offerBatch,
    (offered) => offered < batchSize ? Effect.succeed(offered) : Effect.map(flush, (more) => offered + more)
  )

  const offerDue = Effect.gen(function*() {
    yield* wakeUp.reset
    yield* flush
    const [row] = yield* run("relay", statements.due)
    yield* wakeUp.setDue(row?.due as number | null ?? undefined)
  })

  let away = false
  const logAway = (error: JobSourceError) =>
    Effect.suspend(() => {
      if (away) return Effect.void
      away = true
      return Effect.logWarning(`${queue}: the outbox cannot be moved, its jobs wait`, error)
    })
  const logBack = Effect.suspend(() => {
    if (!away) return Effect.void
    away = false
    return Effect.logInfo(`${queue}: the outbox is moved again`)
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
          Effect.logError(`${queue}: the outbox could not be moved, trying again`, cause),
          Effect.sleep("5 seconds")
        )
      ),
      Effect.zipRight(wakeUp.wait),
      Effect.forever
    )
  }
}
