import { Config } from "effect"
import type { ConfigOptions } from "./poolOptions.js"

/** The options that every pool may read from the configuration. */
export const scalarsOf = (
  options: Pick<
    ConfigOptions<never, never, never, never>,
    "concurrency" | "lease" | "daemonTimeout" | "drainTimeout" | "releaseTimeout"
  >
) => ({
  concurrency: asConfig(options.concurrency),
  lease: asConfig(options.lease),
  daemonTimeout: asConfig(options.daemonTimeout),
  drainTimeout: asConfig(options.drainTimeout),
  releaseTimeout: asConfig(options.releaseTimeout)
})

/** An option that may be a `Config`, as one. */
export const asConfig = <A>(value: A | Config.Config<A>): Config.Config<A> =>
  Config.isConfig(value) ? value as Config.Config<A> : Config.succeed(value as A)
