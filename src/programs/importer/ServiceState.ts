/**
 * What the page shows of the service itself.
 */
import { Schema } from "effect"
import { LifecycleState, Outcome, ShutdownReport } from "../../core/ShutdownReport.js"

/** One resource of the service. */
const ResourceState = Schema.Struct({
  name: Schema.String,
  /** The step of its release that it has reached. */
  stage: Schema.Literal("open", "quiesced", "draining", "interrupting", "releasing", "closed"),
  /** Units of work that run now. Streams of these events are not counted. */
  inFlight: Schema.Int,
  finished: Schema.Int,
  handedBack: Schema.Int,
  cut: Schema.Int,
  /** Why it cannot work now; null while it can. */
  condition: Schema.NullOr(Schema.String),
  /** How its release ended, and after how many milliseconds; null before. */
  released: Schema.NullOr(Schema.Struct({ outcome: Outcome, elapsed: Schema.DurationFromMillis }))
})

/** The service at one moment. Durations are milliseconds. */
export const ServiceState = Schema.Struct({
  state: LifecycleState,
  /** The time that a shutdown has; null if it is unlimited. */
  gracePeriod: Schema.NullOr(Schema.DurationFromMillis),
  /** The time to the deadline; null before a shutdown is requested. */
  remaining: Schema.NullOr(Schema.DurationFromMillis),
  /** In the order in which they were acquired: they are released in reverse. */
  resources: Schema.Array(ResourceState)
})
export type ServiceState = typeof ServiceState.Type

/** The shutdown before this start. */
export const LastShutdown = Schema.Struct({
  /** Whether reports are kept: false without `SHUTDOWN_REPORT`. */
  kept: Schema.Boolean,
  /** None is there before the first shutdown. */
  last: Schema.NullOr(Schema.Struct({ endedAt: Schema.DateTimeUtc, report: ShutdownReport }))
})
export type LastShutdown = typeof LastShutdown.Type
