import { Cause, Duration, Effect, Option, Queue, Ref } from "effect"
import { Host, type HostEvent, signalNumber } from "../../core/Host.js"
import { shortDuration } from "../../core/internal/duration.js"
import { causeMessage } from "../../core/internal/errorMessage.js"
import { monotonicMillis } from "../../core/internal/monotonic.js"
import type { Lifecycle } from "../../core/Lifecycle.js"
import type { Signal } from "../../core/ShutdownConfig.js"

interface Received {
  /** Signals without duplicates. */
  readonly count: number
  /** The monotonic instant of the last one. */
  readonly last: Option.Option<number>
}

/**
 * Handles the events of the host sequentially. The first signal requests the shutdown, the second expedites it, the third
 * exits at once; a signal within `duplicateWindow` of the last one is ignored,
 * also one that a blocked event loop may have delayed.
 */
export const handleEvents = (lifecycle: Lifecycle, events: Queue.Dequeue<HostEvent>): Effect.Effect<never> =>
  Effect.gen(function*() {
    const host = yield* Host
    const { config } = lifecycle.shutdown
    const received = yield* Ref.make<Received>({ count: 0, last: Option.none() })

    const onSignal = (signal: Signal, delay: Duration.Duration) =>
      Effect.gen(function*() {
        const now = yield* monotonicMillis
        const { count, last } = yield* Ref.get(received)
        const sent = now - Duration.toMillis(delay)
        if (Option.isSome(last) && sent - last.value < Duration.toMillis(config.duplicateWindow)) {
          return yield* lifecycle.recordSignal(signal, "duplicate, ignored")
        }
        yield* Ref.set(received, { count: count + 1, last: Option.some(now) })
        switch (count) {
          case 0: {
            yield* lifecycle.recordSignal(signal, "received")
            return yield* lifecycle.shutdown.begin({ reason: signal })
          }
          case 1: {
            yield* lifecycle.recordSignal(signal, "received again, expediting")
            return yield* lifecycle.expedite
          }
          default: {
            yield* lifecycle.recordSignal(signal, "received a third time, exiting at once")
            yield* Effect.logError(`${signal} a third time: exits without waiting for the shutdown`)
            const exit = host.exit(128 + signalNumber[signal])
            return yield* Effect.scoped(Effect.zipRight(host.endWithin("2 seconds"), exit))
          }
        }
      })

    const onBlocked = (duration: Duration.Duration) =>
      Effect.gen(function*() {
        const { request, state } = yield* lifecycle.snapshot
        // Only a warning once there is a deadline: loading big modules or an embedded database blocks for seconds.
        const from = Option.match(request, { onNone: () => state, onSome: ({ from }) => from })
        yield* (from === "Starting" ? Effect.logDebug : Effect.logWarning)(
          `the event loop was blocked for ${shortDuration(duration)}: no timeout holds meanwhile`
        )
      })

    const onEvent = (event: HostEvent): Effect.Effect<void> => {
      switch (event._tag) {
        case "Signal":
          return onSignal(event.signal, event.delay ?? Duration.zero)
        case "Interrupted":
          return lifecycle.shutdown.begin({ reason: "interrupted" })
        case "Uncaught":
          return Effect.zipRight(
            Effect.logError("uncaught error", event.error),
            lifecycle.fail(
              "uncaught error",
              `uncaught error: ${causeMessage(Cause.die(event.error))}`,
              event.error
            )
          )
        case "Blocked":
          return onBlocked(event.duration)
      }
    }

    return yield* Effect.forever(Effect.flatMap(Queue.take(events), onEvent))
  })
