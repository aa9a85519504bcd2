import { Array, Duration, Effect, Option } from "effect"
import { idle } from "../../core/internal/observers.js"
import type { Lifecycle } from "../../core/Lifecycle.js"
import { DrainReport } from "../../core/ShutdownReport.js"

interface Outcome extends Pick<DrainReport, "outcome" | "started" | "elapsed"> {
  readonly reason?: string
  readonly failure?: string
}

/** Registers work outside of any `Drain` that is released now. Returns how to report its end. */
export const registerOutside = (
  { shutdown }: Lifecycle,
  name: string
): Effect.Effect<(outcome: Outcome) => Effect.Effect<void>> =>
  Effect.map(
    shutdown.register({
      name,
      stage: "releasing",
      report: Option.none(),
      drainTimeout: Option.none(),
      progress: () => idle,
      condition: () => undefined,
      finalize: Effect.void
    }),
    (resource) => (outcome) => {
      const cut = outcome.outcome === "Drained" ? 0 : 1
      const report = new DrainReport({ name: resource.name, finished: 0, handedBack: 0, cut, ...outcome })
      return shutdown.update({ ...resource, stage: "closed", report: Option.some(report) })
    }
  )

/** Reports work outside of any `Drain` that has ended. */
export const reportOutside = (
  lifecycle: Lifecycle,
  { name, ...outcome }: Outcome & { readonly name: string }
): Effect.Effect<void> => Effect.flatMap(registerOutside(lifecycle, name), (report) => report(outcome))

/** In milliseconds: shorter stretches are noise on a busy machine. */
const noticeable = 500

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
    // In numbers: there may be thousands, and the event loop is blocked meanwhile.
    const releases = Array.getSomes(resources.map(({ report }) => report)).map(({ elapsed, name, started }) => {
      const start = Duration.toMillis(started)
      return { start, end: start + Duration.toMillis(elapsed), name }
    }).sort((a, b) => a.start - b.start)
    const found = Array.empty<Outside>()
    let end = Duration.toMillis(from)
    const add = (start: number, next: Option.Option<string>) => {
      if (start - end < noticeable) return
      found.push({ started: Duration.millis(end), elapsed: Duration.millis(start - end), next })
    }
    for (const release of releases) {
      add(release.start, Option.some(release.name))
      end = Math.max(end, release.end)
    }
    add(Duration.toMillis(now), Option.none())
    return found
  })
