/**
 * Cleans up after processes that have died.
 */
import { Effect, Layer, Schedule } from "effect"
import { DeadLetters } from "./store/DeadLetters.js"
import { Uploads } from "./store/Uploads.js"

const cleanupInterval = "5 seconds"

/**
 * Deletes uploads whose process has died, and marks imports as failed whose job is a dead letter: a job that ends its process in every
 * attempt cannot do that itself. Several processes may do it at a time.
 */
export const OrphanCleanup = Layer.scopedDiscard(Effect.gen(function*() {
  const uploads = yield* Uploads
  const deadLetters = yield* DeadLetters

  const deleteOrphans = Effect.flatMap(
    uploads.deleteOrphans,
    (deleted) =>
      deleted === 0 ? Effect.void : Effect.logInfo(`deleted ${deleted} unfinished uploads of processes that have died`)
  )

  yield* Effect.zipRight(deleteOrphans, deadLetters.failImports()).pipe(
    Effect.catchAllCause((cause) =>
      Effect.logDebug(`cleaning up after dead processes failed, next try in ${cleanupInterval}`, cause)
    ),
    Effect.repeat(Schedule.spaced(cleanupInterval)),
    Effect.forkScoped
  )
}))
