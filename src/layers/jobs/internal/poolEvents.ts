import { Duration, Effect, Metric } from "effect"
import { monotonicMillis } from "../../../core/internal/monotonic.js"
import { JobEvent, type RunFields } from "../JobEvent.js"
import type { Claim, JobSourceError } from "../JobSource.js"

/** Records what happens to the jobs of one pool: counts it, publishes it as metrics, and passes it to `onEvent`. */
export interface PoolEvents {
  readonly counts: { finished: number; handedBack: number; cut: number }
  readonly record: (event: JobEvent) => Effect.Effect<void>
  readonly runFields: (claim: Claim) => RunFields
  readonly recordLeaseLost: (claim: Claim) => Effect.Effect<void>
  /** The source stayed unavailable, so the leases of these jobs will expire. */
  readonly recordCut: (claims: ReadonlyArray<Claim>, what: string, error: JobSourceError) => Effect.Effect<void>
  /** Publishes that a job runs, for as long as it does, and then how long that was. */
  readonly measure: <A, E, R>(run: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

const inFlightGauge = Metric.gauge("lastcall_pool_in_flight", { description: "Jobs that run now" })
const eventsCounter = Metric.counter("lastcall_pool_events", { description: "What happened to jobs, see JobEvent" })
const runTimer = Metric.timer("lastcall_pool_run", "How long jobs run, however they end")

/** A counter for each kind of event, tagged once: tagging costs more than counting. */
const makeCounters = (name: string) => {
  const ofPool = Metric.tagged(eventsCounter, "pool", name)
  const counters = new Map<JobEvent["_tag"], typeof eventsCounter>()
  return (tag: JobEvent["_tag"]) => {
    const existing = counters.get(tag)
    if (existing !== undefined) return existing
    const counter = Metric.tagged(ofPool, "event", tag)
    counters.set(tag, counter)
    return counter
  }
}

export const makePoolEvents = (options: {
  readonly name: string
  readonly durable: boolean
  readonly onEvent: ((event: JobEvent) => Effect.Effect<void>) | undefined
}): PoolEvents => {
  const { durable, name, onEvent } = options
  const counts = { finished: 0, handedBack: 0, cut: 0 }
  const counterOf = makeCounters(name)
  const inFlight = Metric.tagged(inFlightGauge, "pool", name)
  const runTime = Metric.tagged(runTimer, "pool", name)

  const record = (event: JobEvent): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { _tag } = event
      if (_tag === "Succeeded" || _tag === "Retried" || _tag === "DeadLettered") counts.finished++
      // A job that returns to a queue in memory is not safe there: it runs again, or counts as cut at the end.
      if (_tag === "HandedBack" && durable) counts.handedBack++
      if (_tag === "Cut") counts.cut++
      const counted = Metric.incrementBy(counterOf(_tag), "count" in event ? event.count : 1)
      return onEvent === undefined ? counted : Effect.zipRight(counted, onEvent(event))
    })
  const runFields = ({ attempt, id }: Claim): RunFields => ({ pool: name, id, attempt })

  return {
    counts,
    record,
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
    measure: (run) =>
      Effect.flatMap(monotonicMillis, (startedAt) =>
        Metric.incrementBy(inFlight, 1).pipe(
          Effect.zipRight(run),
          Effect.ensuring(Metric.incrementBy(inFlight, -1)),
          Effect.ensuring(
            Effect.flatMap(monotonicMillis, (now) => Metric.update(runTime, Duration.millis(now - startedAt)))
          )
        ))
  }
}
