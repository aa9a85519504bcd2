import { type Duration, Effect } from "effect"
import { bounded } from "../../../core/internal/bounded.js"
import type { Fates } from "./fates.js"
import type { Waits } from "./waits.js"

/** Ten thousand sockets closed, or fibers interrupted, at once would hold the event loop, and no deadline be noticed. */
const batch = 500

/** Completes after everybody else has had a turn: what has come from the network is read, timers have fired. */
const turn = Effect.async<void>((resume) => {
  let next = setImmediate(() => {
    next = setImmediate(() => resume(Effect.void))
  })
  return Effect.sync(() => clearImmediate(next))
})

const until = (fates: Fates, test: () => boolean): Effect.Effect<void> =>
  Effect.async((resume) => {
    const forget = fates.when(test, () => resume(Effect.void))
    return Effect.sync(forget)
  })

/** Keeps the time: one timer for all waits of one length, none while there is nothing to wait for. */
const keep = <A>(waits: Waits<A>): Effect.Effect<never> =>
  Effect.gen(function*() {
    const some = yield* Effect.makeLatch(false)
    waits.onFirst = () => some.unsafeOpen()
    while (true) {
      const left = waits.left()
      if (left === undefined) {
        yield* some.await
        some.unsafeClose()
      } else if (left > 0) {
        yield* Effect.sleep(left)
      } else {
        // The process may have stood still meanwhile. What has come in time is looked at before anybody is judged.
        const due = waits.now()
        yield* turn
        waits.elapse(batch, due)
      }
    }
  })

/** Completes when every connection is closed and every handler has exited. */
export const drain = (fates: Fates): Effect.Effect<void> =>
  Effect.raceFirst(
    until(fates, () => fates.open.size === 0),
    Effect.all([keep(fates.lingering), keep(fates.heads), keep(fates.bodies), keep(fates.streams)], {
      concurrency: "unbounded",
      discard: true
    })
  )

/** Interrupts every handler and waits for it. */
export const interrupt = (fates: Fates): Effect.Effect<void> =>
  Effect.gen(function*() {
    const exchanges = [...fates.open].flatMap((connection) => connection.exchanges)
    for (let from = 0; from < exchanges.length; from += batch) {
      if (from > 0) yield* turn
      exchanges.slice(from, from + batch).forEach((exchange) => fates.cut(exchange))
    }
    yield* until(fates, () => fates.handling === 0)
  })

/**
 * Closes every socket. An answer that is written has `flush` to leave; then they are destroyed, whatever happens: work
 * that is abandoned must have nothing left to write to.
 */
export const destroyAll = (fates: Fates, flush: Duration.Duration): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (fates.open.size === 0) return Effect.void
    fates.close()
    return bounded({ within: flush })(until(fates, () => fates.sockets === 0))
  }).pipe(
    Effect.ensuring(Effect.sync(() => fates.open.forEach((connection) => fates.destroy(connection)))),
    Effect.zipRight(until(fates, () => fates.sockets === 0))
  )
