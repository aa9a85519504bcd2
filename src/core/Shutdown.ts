/**
 * What a resource or a handler sees of the shutdown: the state of the service, the time that remains, and when to stop.
 *
 * `launch` provides a live `Shutdown` to the layers that it builds. Without `launch` the default is in place: always
 * `Running`, without a deadline. The same layers then drain with their own timeouts.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Shutdown } from "lastcall"
 *
 * // A long-lived loop that ends by itself when the service begins to drain.
 * const poll = Effect.raceFirst(Effect.forever(Effect.sleep("1 second")), Shutdown.draining)
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { Context, Duration, Effect, Option, Stream } from "effect"
import { defaults, type ShutdownConfig } from "./ShutdownConfig.js"
import type { DrainReport, LifecycleState } from "./ShutdownReport.js"

/**
 * The stage of one resource: `open` until its release begins, `quiesced` once it accepts no new work, then the steps of
 * its release, then `closed`.
 *
 * @since 0.1.0
 * @category models
 */
export type Stage = "open" | "quiesced" | "draining" | "interrupting" | "releasing" | "closed"

/**
 * Units of work (requests, jobs, tasks) of one resource. Except for `inFlight`, counted since the resource was acquired.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  /** Units that run now. */
  readonly inFlight: number
  /** Units that ended by themselves, successful or not. */
  readonly finished: number
  /** Units that were returned to where they came from, to be run by another process. */
  readonly handedBack: number
  /** Units that were interrupted or abandoned. Any of them makes the exit code 1. */
  readonly cut: number
}

/**
 * One registered resource. `Drain.acquire` makes it from the `Steps` of a user, the lifecycle keeps it, and the report
 * and the terminal read it. It is a value: a change of stage is a new one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Resource {
  /** The name in logs and in the report, unique among the registered resources. */
  readonly name: string
  /** The step of its release that it has reached. */
  readonly stage: Stage
  /** How the release ended; present once the stage is `closed`. */
  readonly report: Option.Option<DrainReport>
  /** The timeout that was set on this resource, if any. */
  readonly drainTimeout: Option.Option<Duration.Duration>
  /** The work of the resource now. All zero if the resource does not count its work. */
  readonly progress: () => Progress
  /** Why the resource cannot work now, in a few words; `undefined` while it can. */
  readonly condition: () => string | undefined
  /** Runs the release, once: later calls wait for the first. Bounded, and never fails. */
  readonly finalize: Effect.Effect<void>
  /**
   * Whether only its release shows if there is anything to release. Until then it is hidden, and it is forgotten if it
   * closes without a report. Default: false.
   */
  readonly provisional?: boolean
}

/**
 * Why resources cannot work now, by name. Resources that can work are absent.
 *
 * @since 0.1.0
 * @category models
 */
export interface Conditions {
  readonly [name: string]: string
}

/**
 * The service behind the `Shutdown` tag.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The resolved settings of `launch`. */
  readonly config: ShutdownConfig
  /** The state now. */
  readonly state: Effect.Effect<LifecycleState>
  /** The state now and each later one. Ends after `Stopped`. */
  readonly states: Stream.Stream<LifecycleState>
  /**
   * The wall time at which the process must have ended, in milliseconds of the Clock; none before a shutdown was requested.
   * It moves when the system's time is set, because `remaining` does not.
   */
  readonly deadline: Effect.Effect<Option.Option<number>>
  /** Time to the deadline; infinite before a shutdown was requested, zero after the deadline. */
  readonly remaining: Effect.Effect<Duration.Duration>
  /** The number of registered resources that are not closed. Each of them gets a share of the last part of the time. */
  readonly unreleased: Effect.Effect<number>
  /** Time since the shutdown was requested; zero before. */
  readonly elapsed: Effect.Effect<Duration.Duration>
  /** Completes at `LameDuck`, or at `Draining` when there is no `preStopDelay`. Sources of work stop pulling here. */
  readonly lameDuck: Effect.Effect<void>
  /** Completes at `Draining`. */
  readonly draining: Effect.Effect<void>
  /** Completes when a second signal expedites the shutdown: drains stop waiting and interrupt. */
  readonly expedited: Effect.Effect<void>
  /**
   * Requests the shutdown. The first call sets the reason; later calls do nothing. A `failure` makes the exit code 1 and
   * is shown in the report; `cause`, the error behind it, becomes that of the `LaunchError`.
   */
  readonly begin: (
    request: { readonly reason: string; readonly failure?: string; readonly cause?: unknown }
  ) => Effect.Effect<void>
  /** The conditions of the registered resources now. */
  readonly conditions: Effect.Effect<Conditions>
  /**
   * The registered resources now, in the order in which they were acquired: what a status page shows. Those that were
   * closed before a shutdown was requested are absent. Takes longer with more resources.
   */
  readonly resources: Effect.Effect<ReadonlyArray<Resource>>
  /** Registers a resource, and returns it with its name made unique. `Drain.acquire` does this. */
  readonly register: (resource: Resource) => Effect.Effect<Resource>
  /** Replaces the registered resource of the same name, after a change of its stage. */
  readonly update: (resource: Resource) => Effect.Effect<void>
}

const unlimited: ShutdownConfig = {
  ...defaults,
  gracePeriod: Duration.infinity,
  reserve: Duration.zero,
  reportFile: Option.none()
}

const logReport = (report: DrainReport): Effect.Effect<void> =>
  (report.outcome === "Drained" && report.failure === undefined ? Effect.logDebug : Effect.logWarning)(
    `${report.name}: ${report.outcome}`
  ).pipe(Effect.annotateLogs({ reason: report.reason ?? report.failure ?? "" }))

/**
 * The shutdown of the service in which the current code runs.
 *
 * Without `launch`: state `Running`, no deadline, nothing registered. Reports of releases are logged, as warnings unless
 * they are `Drained`.
 *
 * @since 0.1.0
 * @category tags
 */
export class Shutdown extends Context.Reference<Shutdown>()("lastcall/Shutdown", {
  defaultValue: (): Service => ({
    config: unlimited,
    state: Effect.succeed("Running"),
    states: Stream.succeed<LifecycleState>("Running").pipe(Stream.concat(Stream.never)),
    deadline: Effect.succeedNone,
    remaining: Effect.succeed(Duration.infinity),
    elapsed: Effect.succeed(Duration.zero),
    unreleased: Effect.succeed(0),
    lameDuck: Effect.never,
    draining: Effect.never,
    expedited: Effect.never,
    conditions: Effect.succeed({}),
    resources: Effect.succeed([]),
    begin: ({ reason }) =>
      Effect.logWarning(`a shutdown was requested ("${reason}"), but no service was launched with launch()`),
    register: Effect.succeed,
    update: ({ report }) => Option.match(report, { onNone: () => Effect.void, onSome: logReport })
  })
}) {}

/**
 * The state of the service now.
 *
 * @since 0.1.0
 * @category accessors
 */
export const state: Effect.Effect<LifecycleState> = Effect.flatMap(Shutdown, (shutdown) => shutdown.state)

/**
 * Time to the deadline; infinite before a shutdown was requested.
 *
 * @since 0.1.0
 * @category accessors
 */
export const remaining: Effect.Effect<Duration.Duration> = Effect.flatMap(Shutdown, (shutdown) => shutdown.remaining)

/**
 * Completes when the service begins to drain. Long-lived handlers and loops wait for it to end by themselves. In an HTTP
 * handler it completes when *the server of the handler* begins to drain, with or without `launch`.
 *
 * @since 0.1.0
 * @category accessors
 */
export const draining: Effect.Effect<void> = Effect.flatMap(Shutdown, (shutdown) => shutdown.draining)

/**
 * Requests the shutdown of the launched service, as a signal does; `reason` becomes the `cause` of the report. The first
 * request counts. Without `launch` it logs a warning and does nothing.
 *
 * @since 0.1.0
 * @category accessors
 */
export const begin = (reason: string): Effect.Effect<void> =>
  Effect.flatMap(Shutdown, (shutdown) => shutdown.begin({ reason }))

/**
 * Ends the stream when the service begins to drain: for server-sent events and other endless responses. The end is clean,
 * with all finalizers.
 *
 * **Not promised:** that elements which the stream had not yet emitted are emitted.
 *
 * @since 0.1.0
 * @category combinators
 */
export const untilDraining = <A, E, R>(self: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> =>
  Stream.interruptWhen(self, draining)

/**
 * As `untilDraining`, with `last` emitted after the stream was ended by the drain. A stream that ends by itself is not
 * followed by `last`.
 *
 * @example
 * ```ts
 * import { Schedule, Stream } from "effect"
 * import { Shutdown } from "lastcall"
 *
 * const ticks = Stream.repeatValue("data: tick\n\n").pipe(
 *   Stream.schedule(Schedule.spaced("1 second")),
 *   Shutdown.untilDrainingThen(Stream.succeed("retry: 1000\nevent: bye\ndata:\n\n"))
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const untilDrainingThen =
  <A2, E2, R2>(last: Stream.Stream<A2, E2, R2>) =>
  <A, E, R>(self: Stream.Stream<A, E, R>): Stream.Stream<A | A2, E | E2, R | R2> =>
    Stream.suspend(() => {
      let ended = false
      const end = Effect.map(draining, () => {
        ended = true
      })
      return Stream.concat(Stream.interruptWhen(self, end), Stream.suspend(() => ended ? last : Stream.empty))
    })
