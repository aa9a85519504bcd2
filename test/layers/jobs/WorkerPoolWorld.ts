import { Clock, Effect, Exit, Layer, Option, Scope } from "effect"
import * as Lifecycle from "../../../src/core/Lifecycle.js"
import { Shutdown } from "../../../src/core/Shutdown.js"
import type * as ShutdownConfig from "../../../src/core/ShutdownConfig.js"
import type { JobEvent } from "../../../src/layers/jobs/JobEvent.js"
import * as JobSource from "../../../src/layers/jobs/JobSource.js"
import * as JobSourceMemory from "../../../src/layers/jobs/JobSourceMemory.js"

/** A source, and a lifecycle that the test moves by hand. */
export const makeWorld = (
  options: JobSourceMemory.Options & {
    readonly shutdown?: ShutdownConfig.Options
    /** What stands between the pool and its source. */
    readonly disturb?: (queue: JobSource.JobQueue) => JobSource.JobQueue
  } = {}
) =>
  Effect.gen(function*() {
    const { disturb = (queue) => queue, shutdown: config, ...memory } = options
    const lifecycle = yield* Lifecycle.make(config)
    const source = yield* JobSourceMemory.make(memory)
    const entries: Array<string> = []
    const disturbed: JobSource.Service = {
      ...source,
      open: (options) => Effect.map(source.open(options), disturb)
    }
    const scoped = <A, E>(layer: Layer.Layer<A, E, JobSource.JobSource>, shutdown = lifecycle.shutdown) =>
      Layer.build(layer).pipe(
        Effect.provideService(JobSource.JobSource, disturbed),
        Effect.provideService(Shutdown, shutdown)
      )
    return {
      lifecycle,
      /** The engine itself, to look at what is left. */
      open: (name: string) => source.open({ name }),
      entries,
      /** One line of the journal, with its second. */
      note: (what: string) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          entries.push(`${now / 1000}s ${what}`)
        }),
      /** Builds a layer over the source into the current scope. */
      scoped,
      /** Builds it into a scope of its own; `stop` closes that, as the end of a program does. */
      build: <A, E>(layer: Layer.Layer<A, E, JobSource.JobSource>, shutdown = lifecycle.shutdown) =>
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          const context = yield* Scope.extend(scoped(layer, shutdown), scope)
          return { context, stop: Scope.close(scope, Exit.void) }
        }),
      /** What the report says of the resources that have ended. */
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

/** A line for each event: the second, what happened, and to which attempt of which job. */
export const makeJournal = () => {
  const lines: Array<string> = []
  const onEvent = (event: JobEvent) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const whom = "id" in event ? ` ${event.id}#${event.attempt}` : "ids" in event ? ` ${event.ids.join(" ")}` : ""
      const what = "error" in event ? `: ${event.error}` : "cursor" in event ? `: ${event.cursor}` : ""
      lines.push(`${now / 1000}s ${event._tag}${whom}${what}`)
    })
  return { lines, onEvent }
}
