import { Duration, Effect, Option } from "effect"
import type { Lifecycle } from "../../core/Lifecycle.js"
import { DrainReport } from "../../core/ShutdownReport.js"

const nothing = { inFlight: 0, finished: 0, handedBack: 0, cut: 0 }

/** Reports work outside of any `Drain`, from `started` until now. */
export const reportOutside = (
  { shutdown }: Lifecycle,
  { name, outcome, reason, started }: Pick<DrainReport, "name" | "outcome" | "started"> & { readonly reason: string }
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
      elapsed: Duration.subtract(yield* shutdown.elapsed, started),
      finished: 0,
      handedBack: 0,
      cut: outcome === "Drained" ? 0 : 1,
      reason
    })
    yield* shutdown.update({ ...resource, stage: "closed", report: Option.some(report) })
  })
