import { type Duration, Effect, Option } from "effect"
import { Shutdown } from "../Shutdown.js"
import { BudgetError } from "../ShutdownConfig.js"
import { checkTimeout } from "./budget.js"
import { durationOption } from "./options.js"

interface Timeouts {
  readonly name: string
  readonly drainTimeout?: Duration.DurationInput | undefined
  readonly releaseTimeout?: Duration.DurationInput | undefined
}

const none = { drainTimeout: Option.none<Duration.Duration>(), releaseTimeout: Option.none<Duration.Duration>() }

/** The timeouts that were set on a resource. Fails when the budget can never hold one of them. */
export const drainTimeouts = (timeouts: Timeouts) =>
  Effect.flatMap(Shutdown, ({ config }) => {
    if (timeouts.drainTimeout === undefined && timeouts.releaseTimeout === undefined) return Effect.succeed(none)
    const explicit = (option: "drainTimeout" | "releaseTimeout") =>
      Effect.suspend(() => {
        const timeout = Option.map(
          Option.fromNullable(timeouts[option]),
          (input: Duration.DurationInput) => durationOption(timeouts.name, option, input)
        )
        return Option.match(Option.flatMap(timeout, (_) => checkTimeout(config, timeouts.name, option, _)), {
          onNone: () => Effect.succeed(timeout),
          onSome: (message) => new BudgetError({ message })
        })
      })
    return Effect.all({ drainTimeout: explicit("drainTimeout"), releaseTimeout: explicit("releaseTimeout") })
  })
