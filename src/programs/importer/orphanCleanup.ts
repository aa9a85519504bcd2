/**
 * Cleans up after processes that have died.
 */
import { Context, Effect, Layer, Schedule } from "effect"
import * as ScheduledTask from "../../layers/jobs/ScheduledTask.js"
import { DeadLetters } from "./store/DeadLetters.js"
import { Uploads } from "./store/Uploads.js"

const cleanupInterval = "5 seconds"

/**
 * Deletes uploads whose process has died, and marks imports as failed whose job is a dead letter: a job that ends its process in every
 * attempt cannot do that itself. A task of every process, because a run is one cheap statement or two, and several may run at a time.
 */
export class OrphanCleanup extends Context.Tag("importer/OrphanCleanup")<OrphanCleanup, ScheduledTask.Service>() {}

export const OrphanCleanupLive = Layer.scoped(
  OrphanCleanup,
  Effect.gen(function*() {
    const uploads = yield* Uploads
    const deadLetters = yield* DeadLetters

    const deleteOrphans = Effect.flatMap(
      uploads.deleteOrphans,
      (deleted) =>
        deleted === 0
          ? Effect.void
          : Effect.logInfo(`deleted ${deleted} unfinished uploads of processes that have died`)
    )

    return yield* ScheduledTask.make({
      name: "orphan-cleanup",
      schedule: Schedule.spaced(cleanupInterval),
      runAtStart: true,
      run: () =>
        Effect.zipRight(deleteOrphans, deadLetters.failImports()).pipe(
          // A drain waits no longer either.
          Effect.timeout(cleanupInterval),
          Effect.catchAllCause((cause) =>
            Effect.logDebug(`cleaning up after dead processes failed, next try in ${cleanupInterval}`, cause)
          )
        )
    })
  })
)
