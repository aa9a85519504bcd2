/**
 * The time a shutdown may take, and what begins it.
 *
 * @since 0.1.0
 */
import { Config, ConfigError, Data, Duration, Effect, Option } from "effect"
import { checkBudget, defaultGracePeriod, reserveOf } from "./internal/budget.js"
import { durationConfig } from "./internal/duration.js"

/**
 * @since 0.1.0
 * @category models
 */
export type Signal = "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGQUIT" | "SIGUSR2" | "SIGBREAK"

/**
 * @since 0.1.0
 * @category models
 */
export interface ShutdownConfig {
  /**
   * Everything, from the first signal to the exit, `preStopDelay` included. Its end is the deadline.
   * 25 seconds by default: Kubernetes, ECS and Heroku end a process after 30. Environment: `GRACE_PERIOD`.
   */
  readonly gracePeriod: Duration.Duration
  /**
   * How long the service still accepts and serves (`LameDuck`) while load balancers learn that it is going.
   * 0 by default, because a `preStop` hook or a platform without load balancer needs none; 5 seconds suit Kubernetes
   * without such a hook. Environment: `PRE_STOP_DELAY`.
   */
  readonly preStopDelay: Duration.Duration
  /**
   * How long an interrupt or a release of a resource that sets none of its own may take. 5 seconds by default: closing
   * a socket or a pool is quick, or it is hung.
   */
  readonly releaseTimeout: Duration.Duration
  /**
   * Kept back from every drain, so that interrupts and releases always get time: a tenth of `gracePeriod`, at most
   * 2 seconds.
   */
  readonly reserve: Duration.Duration
  /** What begins a shutdown: `SIGTERM`, `SIGINT` and `SIGHUP` by default (Fly.io and Nomad send SIGINT). */
  readonly signals: ReadonlyArray<Signal>
  /**
   * A signal this soon after one that was acted upon is its duplicate, and ignored: terminals and package runners
   * deliver the same Ctrl+C twice. 500 milliseconds by default.
   */
  readonly duplicateWindow: Duration.Duration
  /** The file that gets the report as JSON; none by default. Environment: `SHUTDOWN_REPORT`. */
  readonly reportFile: Option.Option<string>
}

/**
 * What a user may set. What is left out comes from the environment, then from the defaults.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly gracePeriod?: Duration.DurationInput
  readonly preStopDelay?: Duration.DurationInput
  readonly releaseTimeout?: Duration.DurationInput
  readonly signals?: ReadonlyArray<Signal>
  readonly duplicateWindow?: Duration.DurationInput
  readonly reportFile?: string
}

/**
 * A budget that cannot hold what it is asked to hold. The message shows the arithmetic.
 *
 * @since 0.1.0
 * @category errors
 */
export class BudgetError extends Data.TaggedError("BudgetError")<{ readonly message: string }> {}

/**
 * @since 0.1.0
 * @category defaults
 */
export const defaults = {
  gracePeriod: defaultGracePeriod,
  preStopDelay: Duration.zero,
  releaseTimeout: Duration.seconds(5),
  signals: ["SIGTERM", "SIGINT", "SIGHUP"] as ReadonlyArray<Signal>,
  duplicateWindow: Duration.millis(500)
}

const duration = (name: string, explicit: Duration.DurationInput | undefined, fallback: Duration.Duration) =>
  explicit === undefined
    ? Config.withDefault(durationConfig(name), fallback)
    : Effect.mapError(
      Duration.decodeUnknown(explicit),
      () => ConfigError.InvalidData([name], `Expected a Duration, but received ${String(explicit)}`)
    )

/**
 * Resolves each setting: the explicit option, else the environment, else the default. Fails with a `ConfigError` when a
 * variable or a duration is malformed, and with a `BudgetError` when `preStopDelay` and `reserve` fill the grace period.
 *
 * @since 0.1.0
 * @category constructors
 */
export const resolve = (
  options: Options = {}
): Effect.Effect<ShutdownConfig, ConfigError.ConfigError | BudgetError> =>
  Effect.gen(function*() {
    const gracePeriod = yield* duration("GRACE_PERIOD", options.gracePeriod, defaults.gracePeriod)
    const config: ShutdownConfig = {
      gracePeriod,
      preStopDelay: yield* duration("PRE_STOP_DELAY", options.preStopDelay, defaults.preStopDelay),
      releaseTimeout: Duration.decode(options.releaseTimeout ?? defaults.releaseTimeout),
      reserve: reserveOf(gracePeriod),
      signals: options.signals ?? defaults.signals,
      duplicateWindow: Duration.decode(options.duplicateWindow ?? defaults.duplicateWindow),
      reportFile: options.reportFile === undefined
        ? yield* Config.option(Config.nonEmptyString("SHUTDOWN_REPORT"))
        : Option.some(options.reportFile)
    }
    const problem = checkBudget(config)
    return Option.isSome(problem) ? yield* new BudgetError({ message: problem.value }) : config
  })
