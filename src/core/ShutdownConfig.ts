/**
 * The settings of a shutdown: how long it may take, and which signals request it.
 *
 * Each comes from the options of `launch`, else from the environment where a variable is named, else from `defaults`. All
 * times are durations with a unit: `"25 seconds"` in code, `25s` or `25 seconds` in the environment.
 *
 * @example
 * ```ts
 * import { ConfigProvider, Effect } from "effect"
 * import { ShutdownConfig } from "lastcall"
 *
 * // 20 seconds from the environment, a delay of 5 seconds from the code, and defaults for the rest.
 * const config = ShutdownConfig.resolve({ preStopDelay: "5 seconds" }).pipe(
 *   Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["GRACE_PERIOD", "20s"]])))
 * )
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { Config, ConfigError, Data, Duration, Effect, Option } from "effect"
import { checkBudget, defaultGracePeriod, reserveOf } from "./internal/budget.js"
import { durationConfig } from "./internal/duration.js"
import { expectedDuration, parseDuration } from "./internal/options.js"

/**
 * A signal that a Node process can receive and handle.
 *
 * @since 0.1.0
 * @category models
 */
export type Signal = "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGQUIT" | "SIGUSR2" | "SIGBREAK"

/**
 * What a user may set. What is left out comes from the environment, then from `defaults`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * The time from the request of a shutdown to the exit of the process, `preStopDelay` included. Its end is the deadline.
   * Default: 25 seconds, because Kubernetes, ECS and Heroku kill a process 30 seconds after SIGTERM. Environment:
   * `GRACE_PERIOD`.
   */
  readonly gracePeriod?: Duration.DurationInput | undefined
  /**
   * How long the service still accepts and serves (state `LameDuck`) while load balancers take it out of rotation.
   * Default: 0, because a platform without a load balancer, or with a `preStop` hook, needs none. On Kubernetes without
   * such a hook, 5 seconds suit. Environment: `PRE_STOP_DELAY`.
   */
  readonly preStopDelay?: Duration.DurationInput | undefined
  /**
   * The bound of each quiesce, interrupt and release of a resource without a `releaseTimeout` of its own. Default: 5
   * seconds, because closing a socket or a pool is either quick or hung.
   */
  readonly releaseTimeout?: Duration.DurationInput | undefined
  /** The signals that request a shutdown. Default: SIGTERM, SIGINT and SIGHUP, because Fly.io and Nomad send SIGINT. */
  readonly signals?: ReadonlyArray<Signal> | undefined
  /**
   * A signal this soon after the last one is ignored as its duplicate. Default: 500 milliseconds, because terminals and
   * package runners deliver one Ctrl+C twice.
   */
  readonly duplicateWindow?: Duration.DurationInput | undefined
  /** The path of a file that receives the report as JSON. Default: none. Environment: `SHUTDOWN_REPORT`. */
  readonly reportFile?: string | undefined
}

/**
 * Resolved settings: `Options` without gaps, and the reserve that follows from them.
 *
 * @since 0.1.0
 * @category models
 */
export interface ShutdownConfig {
  /** From the request of a shutdown to the deadline, `preStopDelay` included. */
  readonly gracePeriod: Duration.Duration
  /** How long the service stays in `LameDuck`. */
  readonly preStopDelay: Duration.Duration
  /** The bound of each quiesce, interrupt and release of a resource without a bound of its own. */
  readonly releaseTimeout: Duration.Duration
  /**
   * Kept back from every drain, so that interrupts and releases have time: a tenth of `gracePeriod`, at most 2 seconds.
   * Its last quarter is for what is provided outside of `launch`.
   */
  readonly reserve: Duration.Duration
  /** The signals that request a shutdown. */
  readonly signals: ReadonlyArray<Signal>
  /** A signal this soon after the last one is ignored as its duplicate. */
  readonly duplicateWindow: Duration.Duration
  /** The path of the file that receives the report as JSON. */
  readonly reportFile: Option.Option<string>
}

/**
 * The budget cannot hold a delay or a timeout that was set. The message shows the arithmetic.
 *
 * @since 0.1.0
 * @category errors
 */
export class BudgetError extends Data.TaggedError("BudgetError")<{ readonly message: string }> {}

/**
 * The settings that neither the options nor the environment gives. `Options` says why they are what they are.
 *
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

const decode = (
  option: keyof Options,
  value: Duration.DurationInput
): Effect.Effect<Duration.Duration, ConfigError.ConfigError> =>
  Effect.mapError(
    parseDuration(value),
    () => ConfigError.InvalidData([option], `Expected ${expectedDuration()}, but received ${String(value)}`)
  )

/**
 * Resolves each setting: the option, else the environment, else the default.
 *
 * **Errors.** A `ConfigError` when a duration is malformed, negative, infinite or NaN; a `BudgetError` when `preStopDelay`
 * and `reserve` fill `gracePeriod`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const resolve = (
  options: Options = {}
): Effect.Effect<ShutdownConfig, ConfigError.ConfigError | BudgetError> =>
  Effect.gen(function*() {
    const duration = (option: "gracePeriod" | "preStopDelay" | "releaseTimeout" | "duplicateWindow") =>
      decode(option, options[option] ?? defaults[option])
    const durationFromEnvironment = (option: "gracePeriod" | "preStopDelay", variable: string) =>
      options[option] === undefined
        ? Config.withDefault(durationConfig(variable), defaults[option])
        : duration(option)
    const gracePeriod = yield* durationFromEnvironment("gracePeriod", "GRACE_PERIOD")
    const config: ShutdownConfig = {
      gracePeriod,
      preStopDelay: yield* durationFromEnvironment("preStopDelay", "PRE_STOP_DELAY"),
      releaseTimeout: yield* duration("releaseTimeout"),
      reserve: reserveOf(gracePeriod),
      signals: options.signals ?? defaults.signals,
      duplicateWindow: yield* duration("duplicateWindow"),
      reportFile: options.reportFile === undefined
        ? yield* Config.option(Config.nonEmptyString("SHUTDOWN_REPORT"))
        : Option.some(options.reportFile)
    }
    const problem = checkBudget(config)
    return Option.isSome(problem) ? yield* new BudgetError({ message: problem.value }) : config
  })
