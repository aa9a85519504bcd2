/**
 * Clears up after processes that have died.
 */
import { Effect, Layer, Schedule } from "effect"
import { DeadLetters } from "./store/DeadLetters.js"
import { Uploads } from "./store/Uploads.js"

const every = "5 seconds"

/**
 * Removes uploads whose process has died, and says of imports whose job was given up that they have failed: a job that
 * ends its process every time cannot say so itself. Any process may do so, and several at a time.
 */
export const Sweeper = Layer.scopedDiscard(Effect.gen(function*() {
  const uploads = yield* Uploads
  const deadLetters = yield* DeadLetters

  const sweepUploads = Effect.flatMap(
    uploads.sweep,
    (swept) => swept === 0 ? Effect.void : Effect.logInfo(`removed ${swept} uploads of processes that have died`)
  )

  yield* Effect.zipRight(sweepUploads, deadLetters.fail()).pipe(
    Effect.catchAllCause((cause) => Effect.logDebug("could not sweep, will try again", cause)),
    Effect.repeat(Schedule.spaced(every)),
    Effect.forkScoped
  )
}))
