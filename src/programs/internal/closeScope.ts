import { Effect, Exit, Option } from "effect"
import { bounded } from "../../core/internal/bounded.js"
import { causeMessage } from "../../core/internal/errorMessage.js"
import type { Lifecycle } from "../../core/Lifecycle.js"
import { reportOutside } from "./outsideDrains.js"

/**
 * Runs `close`, which releases everything, within the time that remains. Releases that wait for a finalizer that hangs then
 * run all the same, in order, with no time left.
 */
export const closeScope = (lifecycle: Lifecycle, close: Effect.Effect<unknown>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { shutdown } = lifecycle
    const closed = yield* bounded({ within: yield* shutdown.remaining })(close)
    if (Option.isNone(closed)) {
      const { resources } = yield* lifecycle.snapshot
      yield* reportOutside(lifecycle, {
        name: "scope",
        outcome: "Abandoned",
        reason: "a finalizer that is not bounded by a Drain did not end",
        started: yield* shutdown.elapsed
      })
      yield* bounded({ within: shutdown.config.reserve })(
        Effect.forEach(resources.toReversed(), ({ finalize }) => finalize, { discard: true })
      )
    } else if (Exit.isFailure(closed.value)) {
      const failure = `a finalizer failed: ${causeMessage(closed.value.cause)}`
      yield* Effect.logError(failure, closed.value.cause)
      yield* lifecycle.fail("a finalizer failed", failure)
    }
  })
