import { Cause, Duration, Effect, Exit, Option } from "effect"
import { bounded } from "../../core/internal/bounded.js"
import { remainingInside } from "../../core/internal/budget.js"
import { causeMessage } from "../../core/internal/errorMessage.js"
import { turn } from "../../core/internal/eventLoop.js"
import type { Lifecycle } from "../../core/Lifecycle.js"
import { reportOutside, timeOutside } from "./outsideDrains.js"

/** Logs the failure of a finalizer outside of any `Drain`, and adds it to the report. */
export const failFinalizer = (lifecycle: Lifecycle, cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  const failure = `a finalizer failed: ${causeMessage(cause)}`
  return Effect.zipRight(
    Effect.logError(failure, cause),
    lifecycle.fail("a finalizer failed", failure, Cause.squash(cause))
  )
}

/**
 * Runs `close`, then the releases that it has not run (of what was acquired late, or in a scope that nothing closes), within
 * the time that remains inside of `launch`. Releases that wait for a finalizer that hangs then run all the same, in order,
 * with no time left. The time that finalizers in no `Drain` take is reported as `scope`.
 */
export const closeScope = (lifecycle: Lifecycle, close: Effect.Effect<unknown>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { shutdown } = lifecycle
    const from = yield* shutdown.elapsed
    const within = remainingInside(shutdown.config, yield* shutdown.remaining)
    const closed = yield* bounded({ within })(Effect.validate(close, lifecycle.finalize))
    yield* turn
    const outside = yield* timeOutside(lifecycle, from)
    // What hangs is the last of them.
    const ended = Option.isSome(closed) ? outside : outside.filter(({ next }) => Option.isSome(next))
    yield* Effect.forEach(ended, ({ elapsed, next, started }) =>
      reportOutside(lifecycle, {
        name: "scope",
        outcome: "Drained",
        started,
        elapsed,
        reason: Option.match(next, {
          onNone: () => "finalizers in no Drain",
          onSome: (name) => `finalizers in no Drain, before ${name}`
        })
      }), { discard: true })
    if (Option.isNone(closed)) {
      const now = yield* shutdown.elapsed
      const started = outside.find(({ next }) => Option.isNone(next))?.started ?? now
      yield* reportOutside(lifecycle, {
        name: "scope",
        outcome: "Abandoned",
        started,
        elapsed: Duration.subtract(now, started),
        reason: "a finalizer that is not bounded by a Drain did not end"
      })
      yield* bounded({ within: shutdown.config.reserve })(lifecycle.finalize)
    } else if (Exit.isFailure(closed.value)) {
      yield* failFinalizer(lifecycle, closed.value.cause)
    }
  })
