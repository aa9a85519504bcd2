import { Cause, Clock, Duration, Effect, Option, Queue, Ref } from "effect"
import { Host, type HostEvent, signalNumber } from "../../core/Host.js"
import { shortDuration } from "../../core/internal/duration.js"
import { causeMessage } from "../../core/internal/errorMessage.js"
import type { Lifecycle } from "../../core/internal/lifecycle.js"
import type { Signal } from "../../core/ShutdownConfig.js"

interface Seen {
  readonly count: number
  /** When the last one that was acted upon came, without the time in which the event loop stood still. */
  readonly last: Option.Option<number>
}

/** While the event loop stands still no signal arrives: a duplicate is held up for that long, and remains one. */
const heldUp = (seen: Seen, duration: Duration.Duration): Seen => ({
  ...seen,
  last: Option.map(seen.last, (last) => last + Duration.toMillis(duration))
})

/**
 * Acts on what the host tells, one event after the other: the first signal begins the shutdown, a duplicate is noted,
 * the second expedites, the third exits at once.
 */
export const obey = (lifecycle: Lifecycle, inbox: Queue.Dequeue<HostEvent>): Effect.Effect<never> =>
  Effect.gen(function*() {
    const host = yield* Host
    const { config } = lifecycle.service
    const seen = yield* Ref.make<Seen>({ count: 0, last: Option.none() })

    const onSignal = (signal: Signal) =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const { count, last } = yield* Ref.get(seen)
        if (Option.isSome(last) && now - last.value < Duration.toMillis(config.duplicateWindow)) {
          return yield* lifecycle.signalled(signal, "duplicate, ignored")
        }
        yield* Ref.set(seen, { count: count + 1, last: Option.some(now) })
        switch (count) {
          case 0: {
            yield* lifecycle.signalled(signal, "received")
            return yield* lifecycle.service.begin({ reason: signal })
          }
          case 1: {
            yield* lifecycle.signalled(signal, "received again, expediting")
            return yield* lifecycle.expedite
          }
          default: {
            yield* lifecycle.signalled(signal, "received a third time, exiting at once")
            yield* Effect.logError(`${signal} a third time: exit without waiting for anything`)
            return yield* host.exit(128 + signalNumber[signal])
          }
        }
      })

    const onEvent = (event: HostEvent): Effect.Effect<void> => {
      switch (event._tag) {
        case "Signal":
          return onSignal(event.signal)
        case "Interrupted":
          return lifecycle.service.begin({ reason: "interrupted" })
        case "Uncaught": {
          const failure = `uncaught error: ${causeMessage(Cause.die(event.error))}`
          return Effect.logError("uncaught error", event.error).pipe(
            Effect.zipRight(lifecycle.fail("uncaught error", failure))
          )
        }
        case "Blocked":
          return Effect.gen(function*() {
            yield* Ref.update(seen, (seen) => heldUp(seen, event.duration))
            const { begun, state } = yield* lifecycle.snapshot
            // While it starts there is no deadline yet, and an embedded database or a big module may well take its time.
            const starting = Option.match(begun, { onNone: () => state, onSome: ({ from }) => from }) === "Starting"
            yield* (starting ? Effect.logDebug : Effect.logWarning)(
              `the event loop stood still for ${shortDuration(event.duration)}: no deadline can be kept meanwhile`
            )
          })
      }
    }

    return yield* Effect.forever(Effect.flatMap(Queue.take(inbox), onEvent))
  })
