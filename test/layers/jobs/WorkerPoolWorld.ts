import { Clock, Effect, Exit, Layer, Option, Scope } from "effect"
import * as Lifecycle from "../../../src/core/Lifecycle.js"
import { Shutdown } from "../../../src/core/Shutdown.js"
import type * as ShutdownConfig from "../../../src/core/ShutdownConfig.js"
import type { JobEvent } from "../../../src/layers/jobs/JobEvent.js"
import * as JobSource from "../../../src/layers/jobs/JobSource.js"
import * as JobSourceMemory from "../../../src/layers/jobs/JobSourceMemory.js"

/** A source in memory, and a lifecycle that the test moves. */
export const makeWorld = (
  options: JobSourceMemory.Options & {
    readonly shutdown?: ShutdownConfig.Options
    /** Wraps the queues that the pool opens, to make them fail or to observe them. */
    readonly wrap?: (queue: JobSource.JobQueue) => JobSource.JobQueue
  } = {}
) =>
  Effect.gen(function*() {
    const { wrap = (queue) => queue, shutdown: config, ...memory } = options
    const lifecycle = yield* Lifecycle.make(config)
    const source = yield* JobSourceMemory.make(memory)
    const entries: Array<string> = []
    const wrapped: JobSource.Service = {
      ...source,
      open: (options) => Effect.map(source.open(options), wrap)
    }
    const scoped = <A, E>(layer: Layer.Layer<A, E, JobSource.JobSource>, shutdown = lifecycle.shutdown) =>
      Layer.build(layer).pipe(
        Effect.provideService(JobSource.JobSource, wrapped),
        Effect.provideService(Shutdown, shutdown)
      )
    return {
      lifecycle,
      /** Opens a queue of the source, unwrapped. */
      open: (name: string) => source.open({ name }),
      entries,
      /** Adds an entry, with the second of the clock. */
      note: (what: string) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          entries.push(`${now / 1000}s ${what}`)
        }),
      /** Builds a layer over the source into the current scope. */
      scoped,
      /** Builds a layer over the source into a scope of its own. `stop` closes that scope. */
      build: <A, E>(layer: Layer.Layer<A, E, JobSource.JobSource>, shutdown = lifecycle.shutdown) =>
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          const context = yield* Scope.extend(scoped(layer, shutdown), scope)
          return { context, stop: Scope.close(scope, Exit.void) }
        }),
      /** The reports of the resources that have ended. */
      reports: Effect.map(lifecycle.snapshot, ({ resources }) =>
        resources.flatMap(({ report }) =>
          Option.toArray(report)
        ).map((_) => ({
          name: _.name,
          outcome: _.outcome,
          finished: _.finished,
          handedBack: _.handedBack,
          cut: _.cut
        })))
    }
  })

/** Records a line for each event: the second, the tag, the job and its attempt, the error or cursor. */
export const makeJournal = () => {
  const lines: Array<string> = []
  const onEvent = (event: JobEvent) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const job = "id" in event ? ` ${event.id}#${event.attempt}` : "ids" in event ? ` ${event.ids.join(" ")}` : ""
      const detail = "error" in event ? `: ${event.error}` : "cursor" in event ? `: ${event.cursor}` : ""
      lines.push(`${now / 1000}s ${event._tag}${job}${detail}`)
    })
  return { lines, onEvent }
}
