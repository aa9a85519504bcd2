import { Duration, Effect, type Exit, Option } from "effect"
import type { Service } from "../Shutdown.js"
import { bounded } from "./bounded.js"
import { drainBound, releaseBound } from "./budget.js"
import type { Problems } from "./drainReport.js"
import { shortDuration } from "./duration.js"
import { causeMessage } from "./errorMessage.js"
import { monotonicMillis } from "./monotonic.js"

type Step = "quiesce" | "drain" | "interrupt" | "release"

/**
 * Runs one step of a release within its bound. Adds what goes wrong to `problems` instead of failing: the next step must
 * run. `names` are those of the work in flight, for the report of a drain.
 */
export const makeAttempt = (
  { config, expedited, remaining, unreleased }: Service,
  timeouts: {
    readonly drainTimeout: Option.Option<Duration.Duration>
    readonly releaseTimeout: Option.Option<Duration.Duration>
  },
  problems: Problems,
  names: () => string
) =>
<R>(name: Step, step: Effect.Effect<unknown, unknown, R>): Effect.Effect<"Done" | "Failed" | "Overdue", never, R> =>
  Effect.flatMap(Effect.all([remaining, unreleased, monotonicMillis]), ([remaining, unreleased, from]) => {
    const within = name === "drain"
      ? drainBound(config, remaining, timeouts.drainTimeout)
      : releaseBound(config, remaining, Math.max(0, unreleased - 1), timeouts.releaseTimeout)
    // A flag: the clock can be behind the timer, so the elapsed time does not show which of the two ended the wait.
    let isExpedited = false
    const cut = Effect.map(expedited, () => {
      isExpedited = true
    })
    const overdue = Effect.map(monotonicMillis, (now) => {
      const how = isExpedited
        ? `expedited after ${shortDuration(Duration.millis(now - from))}`
        : `not done within ${shortDuration(within)}`
      const reason = `${name} ${how}${name === "drain" ? names() : ""}`
      problems.reason = problems.reason === undefined ? reason : `${problems.reason}, ${reason}`
      return "Overdue" as const
    })
    const ended = (exit: Exit.Exit<unknown, unknown>) => {
      if (exit._tag === "Success") return Effect.succeed("Done" as const)
      problems.failure ??= `${name} failed: ${causeMessage(exit.cause)}`
      return Effect.succeed("Failed" as const)
    }
    return Effect.flatMap(
      bounded(name === "drain" ? { within, cut } : { within })(step),
      (exit) => Option.isNone(exit) ? overdue : ended(exit.value)
    )
  })
