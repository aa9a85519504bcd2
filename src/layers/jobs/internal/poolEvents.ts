import { Context, Effect, type Fiber, MetricKey } from "effect"
import type { RunningFiber } from "../../../core/internal/fiberState.js"
import { labelsOf, makeMeasure, tagged, timerKey } from "../../../core/internal/workMetrics.js"
import { JobEvent, type RunFields } from "../JobEvent.js"
import type { Claim, JobSourceError } from "../JobSource.js"

/** Records what happens to the jobs of one pool: counts it, publishes it as metrics, and passes it to `onEvent`. */
export interface PoolEvents {
  readonly counts: { finished: number; handedBack: number; cut: number }
  readonly record: (event: JobEvent) => Effect.Effect<void>
  /** The same on a fiber that runs now, before the next effect. */
  readonly recordBefore: (fiber: RunningFiber, event: JobEvent, next: () => Effect.Effect<void>) => Effect.Effect<void>
  readonly recordAll: (events: ReadonlyArray<JobEvent>) => Effect.Effect<void>
  readonly runFields: (claim: Claim) => RunFields
  readonly recordLeaseLost: (claim: Claim) => Effect.Effect<void>
  /** The source stayed unavailable, so the leases of these jobs will expire. */
  readonly recordCut: (claims: ReadonlyArray<Claim>, what: string, error: JobSourceError) => Effect.Effect<void>
  /** Publishes that jobs run, for as long as their fiber does, and then how long that was. */
  readonly measure: (fiber: Fiber.RuntimeFiber<unknown, unknown>, count: number) => void
  /** A context with the services of the pool's jobs and of `onEvent`. In such a one events need not provide them. */
  readonly withServices: (context: Context.Context<never>) => Context.Context<never>
}

const inFlightGauge = MetricKey.gauge("lastcall_pool_in_flight", { description: "Jobs that run now" })
const eventsCounter = MetricKey.counter("lastcall_pool_events", { description: "What happened to jobs, see JobEvent" })
const runTimer = timerKey("lastcall_pool_run", "How long jobs run, however they end")

/** The events of runs whose end is in the source. */
const endsRun: ReadonlySet<JobEvent["_tag"]> = new Set([
  "Succeeded",
  "Retried",
  "Snoozed",
  "DeadLettered",
  "RunCancelled"
])

const makeCounters = (pool: string) => {
  const make = (event: string) => tagged(eventsCounter, { pool, event })
  const counters = new Map<JobEvent["_tag"], ReturnType<typeof make>>()
  return (event: JobEvent["_tag"]) => {
    const existing = counters.get(event)
    if (existing !== undefined) return existing
    const counter = make(event)
    counters.set(event, counter)
    return counter
  }
}

/** Adds services to a context. The fibers of a pool have the same few contexts, so the last result is kept. */
const makeWithServices = (services: Context.Context<never>): PoolEvents["withServices"] => {
  let last: { readonly from: Context.Context<never>; readonly to: Context.Context<never> } | undefined
  return (context) => {
    if (context === last?.from || context === last?.to) return last.to
    last = { from: context, to: Context.merge(context, services) }
    return last.to
  }
}

export const makePoolEvents = (options: {
  readonly name: string
  readonly durable: boolean
  readonly onEvent: ((event: JobEvent) => Effect.Effect<unknown, unknown>) | undefined
  /** The services of `onEvent`. */
  readonly services: Context.Context<never>
}): PoolEvents => {
  const { durable, name, onEvent, services } = options
  const counts = { finished: 0, handedBack: 0, cut: 0 }
  const counterOf = makeCounters(name)

  const handlerOf = (event: JobEvent): Effect.Effect<unknown, unknown> => {
    try {
      return onEvent === undefined ? Effect.void : onEvent(event)
    } catch (defect) {
      return Effect.die(defect)
    }
  }
  /** Counts an event. Returns what `onEvent` does about it. */
  const count = (event: JobEvent, fiber: RunningFiber): Effect.Effect<void> => {
    const { _tag } = event
    if (endsRun.has(_tag)) counts.finished++
    // A job that returns to a queue in memory is not safe there: it runs again, or counts as cut at the end.
    if (_tag === "HandedBack" && durable) counts.handedBack++
    if (_tag === "Cut") counts.cut++
    counterOf(_tag).unsafeUpdate("count" in event ? event.count : 1, labelsOf(fiber))
    const handler = handlerOf(event)
    // Most listeners do nothing about most events.
    return Object.is(handler, Effect.void) ? Effect.void : Effect.matchCauseEffect(handler, {
      onSuccess: () => Effect.void,
      onFailure: (cause) => Effect.logWarning(`${name}: onEvent failed`, cause)
    })
  }
  const withServices = makeWithServices(services)
  /** To provide the services costs more than most listeners do. */
  const provided = (fiber: RunningFiber, handled: Effect.Effect<void>) =>
    handled === Effect.void || withServices(fiber.currentContext) === fiber.currentContext
      ? handled
      : Effect.provide(handled, services)
  const recordAll = (events: ReadonlyArray<JobEvent>): Effect.Effect<void> =>
    Effect.withFiberRuntime((fiber) => {
      const handlers = events.map((event) => count(event, fiber)).filter((handler) => handler !== Effect.void)
      return provided(fiber, handlers.length === 0 ? Effect.void : Effect.all(handlers, { discard: true }))
    })
  const record = (event: JobEvent): Effect.Effect<void> =>
    Effect.withFiberRuntime((fiber) => provided(fiber, count(event, fiber)))
  const recordBefore: PoolEvents["recordBefore"] = (fiber, event, next) => {
    const handled = provided(fiber, count(event, fiber))
    return handled === Effect.void ? next() : Effect.flatMap(handled, next)
  }
  const runFields = ({ attempt, id }: Claim): RunFields => ({ pool: name, id, attempt })

  return {
    counts,
    record,
    recordBefore,
    recordAll,
    runFields,
    recordLeaseLost: (claim) =>
      Effect.zipRight(
        Effect.logWarning(`job ${claim.id} has lost its lease; nothing was written`),
        record(JobEvent.LeaseLost(runFields(claim)))
      ),
    recordCut: (claims, what, error) =>
      Effect.zipRight(
        Effect.logError(`${what}; leases will expire`, error),
        Effect.forEach(claims, (claim) => record(JobEvent.Cut({ ...runFields(claim), error: error.message })), {
          discard: true
        })
      ),
    withServices,
    measure: makeMeasure(inFlightGauge, runTimer, { pool: name })
  }
}
