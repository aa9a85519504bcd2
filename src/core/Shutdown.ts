/**
 * Where the service is in its life, and how long it still has.
 *
 * @since 0.1.0
 */
import { Context, Duration, Effect, Option, Stream } from "effect"
import { defaults, type ShutdownConfig } from "./ShutdownConfig.js"
import type { DrainReport, LifecycleState } from "./ShutdownReport.js"

/**
 * What a drainable resource is doing: `open` until its release begins, `quiesced` once it takes nothing new, then the
 * steps of its release, then `closed`.
 *
 * @since 0.1.0
 * @category models
 */
export type Stage = "open" | "quiesced" | "draining" | "interrupting" | "releasing" | "closed"

/**
 * Units of work, counted since the resource was opened; `inFlight` is how many there are now.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  readonly inFlight: number
  readonly finished: number
  readonly handedBack: number
  readonly cut: number
}

/**
 * A drainable resource, as the shutdown knows it. `finalize` runs its release, once: a second call waits for the first.
 *
 * @since 0.1.0
 * @category models
 */
export interface Resource {
  readonly name: string
  readonly drainTimeout: Option.Option<Duration.Duration>
  readonly progress: Option.Option<() => Progress>
  readonly condition: Option.Option<() => string | undefined>
  readonly finalize: Effect.Effect<void>
}

/**
 * What a resource got for registering: its name made unique, and where it tells what it does.
 *
 * @since 0.1.0
 * @category models
 */
export interface Registration {
  readonly name: string
  readonly stage: (stage: Stage) => Effect.Effect<void>
  readonly ended: (report: DrainReport) => Effect.Effect<void>
}

/**
 * What keeps resources from their work, by name; those that are well are not in it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Conditions {
  readonly [name: string]: string
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly config: ShutdownConfig
  readonly state: Effect.Effect<LifecycleState>
  /** Each state from now on, beginning with the present one. Ends after `Stopped`. */
  readonly states: Stream.Stream<LifecycleState>
  /** The instant at which everything must have ended, in milliseconds of the Clock; none while nothing was begun. */
  readonly deadline: Effect.Effect<Option.Option<number>>
  /** Time to the deadline; infinite while nothing was begun. */
  readonly remaining: Effect.Effect<Duration.Duration>
  /** Time since the shutdown began; zero while nothing was begun. */
  readonly elapsed: Effect.Effect<Duration.Duration>
  /** Completes when the service was told to stop: at `LameDuck`, or at `Draining` where there is no lame duck. */
  readonly lameDuck: Effect.Effect<void>
  /** Completes when the service begins to drain. */
  readonly draining: Effect.Effect<void>
  /** Completes when a second signal asked not to wait any more. */
  readonly expedited: Effect.Effect<void>
  /** Begins the shutdown. Only the first call counts; later ones do nothing. With a `failure`, the exit code is 1. */
  readonly begin: (cause: { readonly reason: string; readonly failure?: string }) => Effect.Effect<void>
  /** What keeps the registered resources from their work at this moment. */
  readonly conditions: Effect.Effect<Conditions>
  readonly register: (resource: Resource) => Effect.Effect<Registration>
}

const unlimited: ShutdownConfig = {
  ...defaults,
  gracePeriod: Duration.infinity,
  reserve: Duration.zero,
  reportFile: Option.none()
}

/**
 * The lifecycle of the service that this code runs in. `launch` puts a live one into the layers it builds; without
 * `launch` there is this default: always `Running`, unlimited, keeping no state, so that the same layers still drain
 * with their own bounds.
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
    lameDuck: Effect.never,
    draining: Effect.never,
    expedited: Effect.never,
    conditions: Effect.succeed({}),
    begin: ({ reason }) =>
      Effect.logWarning(`"${reason}" asked for a shutdown, but nothing was launched with launch()`),
    register: (resource) =>
      Effect.succeed({
        name: resource.name,
        stage: () => Effect.void,
        ended: (report) =>
          (report.outcome === "Drained" && report.failure === undefined ? Effect.logDebug : Effect.logWarning)(
            `${report.name}: ${report.outcome}`
          ).pipe(
            Effect.annotateLogs({ reason: report.reason ?? report.failure ?? "" })
          )
      })
  })
}) {}

/**
 * Where the service is.
 *
 * @since 0.1.0
 * @category accessors
 */
export const state: Effect.Effect<LifecycleState> = Effect.flatMap(Shutdown, (shutdown) => shutdown.state)

/**
 * Time to the deadline; infinite while nothing was begun.
 *
 * @since 0.1.0
 * @category accessors
 */
export const remaining: Effect.Effect<Duration.Duration> = Effect.flatMap(Shutdown, (shutdown) => shutdown.remaining)

/**
 * Completes when the service begins to drain: what a long-lived handler or loop waits for to come to an end by itself.
 * In an HTTP handler it completes when *its server* begins to drain, whether or not the app was launched.
 *
 * @since 0.1.0
 * @category accessors
 */
export const draining: Effect.Effect<void> = Effect.flatMap(Shutdown, (shutdown) => shutdown.draining)

/**
 * Begins the shutdown of the launched service, as a signal would. The first call counts.
 *
 * @since 0.1.0
 * @category accessors
 */
export const begin = (reason: string): Effect.Effect<void> =>
  Effect.flatMap(Shutdown, (shutdown) => shutdown.begin({ reason }))

/**
 * The same stream, ending when the service begins to drain: for server-sent events and other answers without an end. It
 * is a clean end, with all finalizers; what the stream had not emitted by then is not emitted.
 *
 * @since 0.1.0
 * @category combinators
 */
export const untilDraining = <A, E, R>(self: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> =>
  Stream.interruptWhen(self, draining)

/**
 * `untilDraining`, with something to say at the end: `last` follows when the service begins to drain, and only then; a
 * stream that ends by itself has said everything.
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
      let drains = false
      const until = Effect.map(draining, () => {
        drains = true
      })
      return Stream.concat(Stream.interruptWhen(self, until), Stream.suspend(() => drains ? last : Stream.empty))
    })
