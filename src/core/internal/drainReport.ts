import { Duration } from "effect"
import type { Progress, Resource } from "../Shutdown.js"
import { DrainReport, type Outcome } from "../ShutdownReport.js"
import { wholeMillis } from "./monotonic.js"

/** What went wrong in the steps of one release. */
export interface Problems {
  reason?: string
  failure?: string
}

/** The report of one release, whose work was `before` it and is `after` it. A resource that counts no work is one unit. */
export const drainReport = (
  { after, before, countsWork, elapsed, outcome, started, ...named }: Problems & {
    readonly name: string
    readonly outcome: Outcome
    readonly started: Duration.Duration
    readonly elapsed: number
    readonly before: Progress
    readonly after: Progress
    readonly countsWork: boolean
  }
): DrainReport => {
  const left = outcome === "Drained" ? 0 : countsWork ? after.inFlight : 1
  const cut = after.cut - before.cut + left
  return new DrainReport({
    ...named,
    // A drain may itself cut work that cannot finish, such as a request whose client is silent.
    outcome: outcome === "Drained" && cut > 0 ? "Interrupted" : outcome,
    started: wholeMillis(Duration.toMillis(started)),
    elapsed: wholeMillis(elapsed),
    finished: after.finished - before.finished,
    handedBack: after.handedBack - before.handedBack,
    cut
  }, { disableValidation: true })
}

/** The report of a resource that is not released when the process ends, in a shutdown that was requested at `from`. */
export const abandonedReport = (
  { name, progress }: Resource,
  { at, began, from }: { readonly from: number; readonly began: number; readonly at: number }
): DrainReport =>
  new DrainReport({
    name,
    outcome: "Abandoned",
    started: wholeMillis(began - from),
    elapsed: wholeMillis(at - began),
    finished: 0,
    handedBack: 0,
    cut: progress().inFlight,
    reason: "not released when the process ended"
  }, { disableValidation: true })
