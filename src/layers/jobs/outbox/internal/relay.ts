import { Duration, Effect } from "effect"
import { backoff } from "../../../../core/internal/backoff.js"
import type { WakeUp } from "../../internal/wakeUp.js"
import type { JobQueue, JobSourceError } from "../../JobSource.js"
import type { Ledger, Patience } from "./ledger.js"
import { ticket } from "./rows.js"

/** Rows that are taken at a time. */
const batch = 200

/** Moves the rows of one queue to the engine: what is taken at a time in the order in which it was offered. */
export interface Relay {
  /** Moves what is to be moved now. Gives how many there were. */
  readonly flush: Effect.Effect<number, JobSourceError>
  /** Moves whatever comes, for ever. */
  readonly run: Effect.Effect<never>
}

/** How often an engine that is away is tried again. */
const untilBack = backoff("5 seconds")

export const makeRelay = (options: {
  readonly ledger: Ledger
  readonly engine: JobQueue
  readonly wakeUp: WakeUp
  readonly patience: Patience
}): Relay => {
  const { engine, ledger, patience, wakeUp } = options
  const { queue, run, statements } = ledger
  const earliest = Duration.toSeconds(patience.earliest)
  const latest = Duration.toSeconds(patience.latest)

  /**
   * Takes rows by putting off when they are offered again, and offers them. Several processes never take the same ones;
   * whoever dies in between has only put them off.
   */
  const some = Effect.gen(function*() {
    const rows = yield* run("relay", statements.take, batch, earliest, latest)
    if (rows.length === 0) return 0
    const ids = rows
      .map(({ id, number }) => ({ id: id as string, number: BigInt(number as string) }))
      .sort((a, b) => a.number < b.number ? -1 : 1)
      .map(({ id }) => id)
    yield* Effect.tapError(
      engine.offer(ids.map(() => ticket), { ids }),
      () => Effect.ignore(run("relay", statements.untake, ids))
    )
    return rows.length
  }).pipe(
    Effect.catchTag("QueueFull", (full) => Effect.fail(ledger.failure("relay")(full))),
    Effect.uninterruptible
  )

  const flush: Effect.Effect<number, JobSourceError> = Effect.flatMap(
    some,
    (moved) => moved < batch ? Effect.succeed(moved) : Effect.map(flush, (more) => moved + more)
  )

  const turn = Effect.gen(function*() {
    yield* wakeUp.reset
    yield* flush
    const [row] = yield* run("relay", statements.due)
    yield* wakeUp.setDue(row?.due as number | null ?? undefined)
  })

  let away = false
  const note = (error: JobSourceError) =>
    Effect.suspend(() => {
      if (away) return Effect.void
      away = true
      return Effect.logWarning(`${queue}: what was offered waits in the outbox`, error)
    })
  const noteBack = Effect.suspend(() => {
    if (!away) return Effect.void
    away = false
    return Effect.logInfo(`${queue}: the outbox is moved on`)
  })

  return {
    flush,
    run: turn.pipe(
      Effect.tapError(note),
      Effect.retry(untilBack),
      Effect.zipRight(noteBack),
      // No schedule has an end here, and no defect of a driver ends a relay.
      Effect.catchAllCause((cause) =>
        Effect.zipRight(Effect.logError(`${queue}: the outbox could not be moved on`, cause), Effect.sleep("5 seconds"))
      ),
      Effect.zipRight(wakeUp.wait),
      Effect.forever
    )
  }
}
