import { Duration, Effect, Option, Order } from "effect"
import type { Lifecycle } from "../../core/Lifecycle.js"
import { DrainReport } from "../../core/ShutdownReport.js"

const nothing = { inFlight: 0, finished: 0, handedBack: 0, cut: 0 }

/** Reports work outside of any `Drain`. */
export const reportOutside = (
  { shutdown }: Lifecycle,
  { elapsed, name, outcome, reason, started }:
    & Pick<DrainReport, "name" | "outcome" | "started" | "elapsed">
    & { readonly reason: string }
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const resource = yield* shutdown.register({
      name,
      stage: "open",
      report: Option.none(),
      drainTimeout: Option.none(),
      progress: () => nothing,
      condition: () => undefined,
      finalize: Effect.void
    })
    const report = new DrainReport({
      name: resource.name,
      outcome,
      started,
      elapsed,
      finished: 0,
      handedBack: 0,
      cut: outcome === "Drained" ? 0 : 1,
      reason
    })
    yield* shutdown.update({ ...resource, stage: "closed", report: Option.some(report) })
  })

/** Shorter stretches are noise on a busy machine, and nobody waits for them. */
const noticeable = Duration.millis(500)

/** A stretch of time in which no `Drain` ran. */
interface Outside {
  readonly started: Duration.Duration
  readonly elapsed: Duration.Duration
  /** The resource that was released after it; none for the last stretch. */
  readonly next: Option.Option<string>
}

/** The noticeable stretches since `from` in which the release of no resource ran: finalizers in no `Drain` took them. */
export const timeOutside = (
  { shutdown, snapshot }: Lifecycle,
  from: Duration.Duration
): Effect.Effect<ReadonlyArray<Outside>> =>
  Effect.zipWith(snapshot, shutdown.elapsed, ({ resources }, now) => {
    const reports = resources.flatMap(({ report }) => Option.toArray(report)).sort(
      Order.mapInput(Duration.Order, (report: DrainReport) => report.started)
    )
    const found: Array<Outside> = []
    let end = from
    const add = (started: Duration.Duration, next: Option.Option<string>) => {
      const elapsed = Duration.subtract(started, end)
      if (Duration.greaterThanOrEqualTo(elapsed, noticeable)) found.push({ started: end, elapsed, next })
    }
    for (const report of reports) {
      add(report.started, Option.some(report.name))
      end = Duration.max(end, Duration.sum(report.started, report.elapsed))
    }
    add(now, Option.none())
    return found
  })
