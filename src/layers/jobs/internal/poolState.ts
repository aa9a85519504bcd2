import { Clock, Duration, Effect, Metric, type Option, type Schedule } from "effect"
import type { InFlight } from "../../../core/internal/inFlight.js"
import type { Progress } from "../../../core/Shutdown.js"
import { JobEvent, type RunFields } from "../JobEvent.js"
import type { Claim, JobQueue, JobSourceError } from "../JobSource.js"

/** What is known of a job that runs: whether something else than its exit has decided what becomes of it. */
export interface Job {
  readonly claim: Claim
  readonly startedAt: number
  fate: "Undecided" | "Completed" | "HandedBack" | "Lost" | "Abandoned"
  /** What its last checkpoint left, as it is stored. */
  cursor: Option.Option<unknown>
  /** Made when its process asks for the signal. */
  told: AbortController | undefined
}

/** What the parts of one pool share. */
export interface PoolState {
  readonly name: string
  readonly queue: JobQueue
  /** Whether what is handed back outlives the process. */
  readonly durable: boolean
  readonly concurrency: number
  readonly retry: Schedule.Schedule<unknown, void>
  /** Whether a failure is one that no further attempt will mend. */
  readonly isPermanent: (failure: unknown) => boolean
  readonly observe: ((event: JobEvent) => Effect.Effect<void>) | undefined
  readonly inFlight: InFlight<Job>
  /** Completes when the pool takes nothing new any more. */
  readonly draining: Effect.Latch
  /** Completes when the jobs are interrupted: who waits for the source must not wait for long any more. */
  readonly hurry: Effect.Latch
  readonly metrics: ReturnType<typeof makeMetrics>
  readonly counts: { finished: number; handedBack: number; cut: number }
  /** Who waits for the source, and for what reason. */
  readonly away: Map<string, string>
  /** Why it does not work any more. */
  crashed: string | undefined
  quiesced: boolean
  interrupting: boolean
  /** Claims of interrupted jobs, collected so that one statement hands all of them back. */
  returning: Array<Claim> | undefined
  closed: boolean
}

const inFlightGauge = Metric.gauge("lastcall_pool_in_flight", { description: "Jobs that run now" })
const eventsCounter = Metric.counter("lastcall_pool_events", { description: "What happened to jobs, see JobEvent" })
const runTimer = Metric.timer("lastcall_pool_run", "How long jobs run, however they end")

/** The metrics of one pool, tagged once: tagging costs more than counting. */
export const makeMetrics = (name: string) => {
  const ofPool = Metric.tagged(eventsCounter, "pool", name)
  const tagged = new Map<JobEvent["_tag"], typeof eventsCounter>()
  return {
    inFlight: Metric.tagged(inFlightGauge, "pool", name),
    run: Metric.tagged(runTimer, "pool", name),
    events: (tag: JobEvent["_tag"]) => {
      const known = tagged.get(tag)
      if (known !== undefined) return known
      const counter = Metric.tagged(ofPool, "event", tag)
      tagged.set(tag, counter)
      return counter
    }
  }
}

/** Counts what happened, and tells who wants to know. */
export const record = (pool: PoolState, event: JobEvent): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { _tag } = event
    if (_tag === "Succeeded" || _tag === "Retried" || _tag === "DeadLettered") pool.counts.finished++
    // What comes back to a queue in memory is not safe there: it is taken again, or counted as cut at the end.
    if (_tag === "HandedBack" && pool.durable) pool.counts.handedBack++
    if (_tag === "Cut") pool.counts.cut++
    const counted = Metric.incrementBy(pool.metrics.events(_tag), "count" in event ? event.count : 1)
    return pool.observe === undefined ? counted : Effect.zipRight(counted, pool.observe(event))
  })

/** One run of a job, as events name it. */
export const ofJob = ({ name }: PoolState, { attempt, id }: Claim): RunFields => ({ pool: name, id, attempt })

/** Publishes that a job runs, for as long as it does, and how long that was. */
export const measured = (pool: PoolState, { startedAt }: Job) => <A, E, R>(run: Effect.Effect<A, E, R>) =>
  Metric.incrementBy(pool.metrics.inFlight, 1).pipe(
    Effect.zipRight(run),
    Effect.ensuring(Metric.incrementBy(pool.metrics.inFlight, -1)),
    Effect.ensuring(
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now) => Metric.update(pool.metrics.run, Duration.millis(now - startedAt))
      )
    )
  )

/** Notes that somebody waits for the source; the first one says so. */
export const noteAway = (pool: PoolState, who: string) => (error: JobSourceError): Effect.Effect<void> =>
  Effect.suspend(() => {
    const known = pool.away.size > 0
    pool.away.set(who, error.message)
    return known ? Effect.void : Effect.zipRight(
      Effect.logWarning(`${pool.name}: waiting for the source`, error),
      record(pool, JobEvent.SourceUnavailable({ pool: pool.name, error: error.message }))
    )
  })

/** The source answered. */
export const noteBack = (pool: PoolState, who: string): Effect.Effect<void> =>
  Effect.suspend(() =>
    pool.away.delete(who) && pool.away.size === 0
      ? Effect.zipRight(
        Effect.logInfo(`${pool.name}: the source is back`),
        record(pool, JobEvent.SourceAvailable({ pool: pool.name }))
      )
      : Effect.void
  )

/** In one word, or with the reason why nothing is taken. */
export const condition = (pool: PoolState): string => {
  const [away] = pool.away.values()
  if (pool.closed) return "Closed"
  if (pool.crashed !== undefined) return `Crashed: ${pool.crashed}`
  if (away !== undefined) return `Waiting for the source: ${away}`
  return pool.quiesced ? "Quiesced" : "Running"
}

/** What keeps it from taking jobs, for anybody to see: reasons may tell of addresses. */
export const trouble = (pool: PoolState): string | undefined => {
  if (pool.closed) return undefined
  if (pool.crashed !== undefined) return "Crashed"
  return pool.away.size > 0 ? "WaitingForSource" : undefined
}

export const progress = (pool: PoolState): Progress => ({ ...pool.counts, inFlight: pool.inFlight.size() })

/** How long interrupted jobs that end at about the same time are collected before they are handed back together. */
export const together = Duration.millis(100)
