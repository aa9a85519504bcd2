import { Effect, MetricKey } from "effect"
import { labelsOf, tagged } from "../../../core/internal/workMetrics.js"
import { JobEvent } from "../JobEvent.js"
import type { PauseScope, PoolControl, QueueControl } from "../QueueControl.js"

/** Whether a pool is paused, and by what. */
export interface Pausing {
  readonly scopes: () => ReadonlyArray<PauseScope>
  readonly isPaused: () => boolean
  readonly awaitPaused: Effect.Effect<void>
  readonly awaitResumed: Effect.Effect<void>
  readonly set: (scope: PauseScope, paused: boolean) => Effect.Effect<void>
}

const pausedGauge = MetricKey.gauge("lastcall_pool_paused", { description: "1 while the pool is paused" })

export const makePausing = (name: string, record: (event: JobEvent) => Effect.Effect<void>): Effect.Effect<Pausing> =>
  Effect.gen(function*() {
    const scopes = new Set<PauseScope>()
    const paused = yield* Effect.makeLatch(false)
    const resumed = yield* Effect.makeLatch(true)
    const gauge = tagged(pausedGauge, { pool: name })
    const publish = Effect.withFiberRuntime<void>((fiber) => {
      gauge.unsafeUpdate(scopes.size > 0 ? 1 : 0, labelsOf(fiber))
      return Effect.void
    })
    yield* publish
    return {
      scopes: () => Array.from(scopes),
      isPaused: () => scopes.size > 0,
      awaitPaused: paused.await,
      awaitResumed: resumed.await,
      set: (scope, isPaused) =>
        Effect.suspend(() => {
          if (scopes.has(scope) === isPaused) return Effect.void
          if (isPaused) scopes.add(scope)
          else scopes.delete(scope)
          const latches = scopes.size > 0
            ? Effect.zipRight(resumed.close, paused.open)
            : Effect.zipRight(paused.close, resumed.open)
          const where = scope === "Queue" ? "the queue, in all processes" : "in this process"
          return latches.pipe(
            Effect.zipRight(publish),
            Effect.zipRight(Effect.logInfo(`${name}: ${isPaused ? "paused" : "resumed"}, ${where}`)),
            Effect.zipRight(record(JobEvent[isPaused ? "Paused" : "Resumed"]({ pool: name, scope })))
          )
        }).pipe(Effect.uninterruptible)
    }
  })

/** `pause` and `resume` of a pool. `set` is that of its `Pausing`. */
export const pauseOperations = (queue: QueueControl, set: Pausing["set"]): PoolControl => {
  const setPaused = (paused: boolean) => (scope: PauseScope) =>
    Effect.zipRight(scope === "Queue" ? queue.setPaused(paused) : Effect.void, set(scope, paused))
  return { pause: setPaused(true), resume: setPaused(false) }
}
