import type { Effect, Stream } from "effect"
import type { Progress } from "../../../core/Shutdown.js"
import type { Checkout } from "./checkouts.js"

/** An open database, with the steps of its release. */
export interface Driver {
  readonly kind: "pglite" | "postgres"
  readonly checkout: Checkout
  /** The same as `checkout` where there is but one connection. */
  readonly reserved: Checkout
  /** What begins a transaction. */
  readonly begin: string
  readonly listen: (channel: string) => Stream.Stream<string>
  readonly attributes: Readonly<Record<string, unknown>>
  readonly quiesce: Effect.Effect<void>
  readonly drain: Effect.Effect<void>
  readonly interrupt: Effect.Effect<void>
  readonly release: Effect.Effect<void>
  readonly progress: () => Progress
}
