import { Effect, Layer, Logger, Option } from "effect"
import { Host } from "../../core/Host.js"

/** For people on a terminal, plain structured lines elsewhere, which are the default of Effect without `runMain`'s. */
export const Logging = Layer.unwrapEffect(
  Effect.map(Host, ({ terminal }) => Option.isSome(terminal) ? Logger.pretty : Layer.empty)
)
