/**
 * A launched service in virtual time: start it, signal it, read its report.
 *
 * `start` runs the same function as `launch`. What differs is the `Host`: signals come from the test, the exit code and
 * the files go to the test, there is no terminal, and nothing blocks the event loop.
 *
 * @module
 * @since 0.1.0
 */
import { Clock, type ConfigError, Data, Deferred, Duration, Effect, Layer, Option, Queue, Ref } from "effect"
import type { Scope } from "effect"
import type { HostEvent } from "../core/Host.js"
import * as Lifecycle from "../core/Lifecycle.js"
import type { Stage } from "../core/Shutdown.js"
import type { BudgetError, Options as LaunchOptions, Signal } from "../core/ShutdownConfig.js"
import type { LifecycleState, ShutdownReport } from "../core/ShutdownReport.js"
import { onMemoryHost } from "../programs/internal/memoryHost.js"
import { runService } from "../programs/internal/runService.js"
import { hasReached, notExited, notReached, notRunning, refuseReached, refuseSignal } from "./internal/hints.js"
import { refuseClock } from "./internal/idle.js"
import { refuse, watch } from "./internal/watch.js"
import { line } from "./Journal.js"

/**
 * The app ended before it was running. Its report says why.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotStarted extends Data.TaggedError("NotStarted")<{ readonly report: ShutdownReport }> {
  override get message() {
    return this.report.failure ?? `a shutdown was requested during the start: ${this.report.cause}`
  }
}

/**
 * The options of `launch`, and those of the test.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<in ROuter = never, out EOuter = never, out RIn = never> extends LaunchOptions {
  /**
   * What the program provides outside of `launch`, as in `App.pipe(launch(), Effect.provide(Outside))`. Default: nothing. It
   * is released after the app, within the same budget, and reported as `outer` if that takes noticeable time.
   */
  readonly outside?: Layer.Layer<ROuter, EOuter, RIn> | undefined
  /**
   * The real time after which a wait dies if nothing has moved. Default: 1 second, more than I/O on this machine takes and
   * less than the timeout of a test. Raise it for a layer that waits longer for real I/O. A blocked event loop, such as that
   * of an embedded database that starts, does not count.
   */
  readonly giveUpAfter?: Duration.DurationInput | undefined
}

/**
 * A running app, as its test sees it.
 *
 * **No wait hangs.** When no fiber can run and only the clock, a signal or nothing at all could help, each of these waits dies
 * with one line that says what is waited for and what to do. Names, states, stages and signals that do not exist are refused.
 *
 * @since 0.1.0
 * @category models
 */
export interface TestApp {
  /** Sends a signal, as a platform or a terminal does. Dies if the app does not listen to it. */
  readonly signal: (signal: Signal) => Effect.Effect<void>
  /** Raises an uncaught error. */
  readonly uncaught: (error: unknown) => Effect.Effect<void>
  /**
   * Completes when the resource of this name has reached this stage or a later one; for the name `"app"`, when the app
   * has reached this state. Does not move the clock.
   */
  readonly until: <Name extends string>(
    name: Name,
    reached: Name extends "app" ? LifecycleState : Stage
  ) => Effect.Effect<void>
  /**
   * Moves the clock until the app has exited, and returns its report. Dies when no shutdown was requested, and when a
   * third signal ended the process before there was a report.
   *
   * The clock moves from timer to timer, each time only when nothing else moves: a release that takes a second of CPU
   * takes no virtual time.
   */
  readonly report: Effect.Effect<ShutdownReport>
  /** Completes when the app has exited, with its exit code. Does not move the clock. */
  readonly exit: Effect.Effect<number>
  /** Each change of state and of stage so far, a line each, with the time since the start: `5s importer draining`. */
  readonly journal: Effect.Effect<ReadonlyArray<string>>
  /** The files that were written, by path, such as the report. */
  readonly files: Effect.Effect<ReadonlyMap<string, string>>
}

/**
 * Launches the layer on a host in memory, and waits until the app is running. When the scope closes, an app that still
 * runs is shut down without waiting.
 *
 * Needs the `TestClock` (`it.effect`, `it.scoped`) and layers without real I/O: a wait for a socket does not end in
 * virtual time. A layer whose acquire sleeps is started on a fiber of its own, while the test moves the clock.
 *
 * **Errors.** `NotStarted` when the layer could not be built; `BudgetError` and `ConfigError` when the options are refused;
 * those of `outside`. Dies when nothing moves any more, see `giveUpAfter`.
 *
 * @example
 * ```ts
 * import { assert, it } from "@effect/vitest"
 * import { Effect, Layer } from "effect"
 * import { Drain } from "lastcall"
 * import { TestApp } from "lastcall/testing"
 *
 * const App = Layer.scopedDiscard(Drain.acquire({
 *   name: "worker",
 *   acquire: Effect.void,
 *   drain: () => Effect.sleep("3 seconds")
 * }))
 *
 * it.scoped("the worker drains in three seconds", () =>
 *   Effect.gen(function*() {
 *     const app = yield* TestApp.start(App)
 *     yield* app.signal("SIGTERM")
 *     const report = yield* app.report
 *     assert.deepStrictEqual(report.drains.map((drain) => [drain.name, drain.outcome]), [["worker", "Drained"]])
 *   }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const start = <ROut, E, RIn, ROuter = never, EOuter = never, ROuterIn = never>(
  layer: Layer.Layer<ROut, E, RIn>,
  { giveUpAfter = "1 second", outside, ...options }: Options<ROuter, EOuter, ROuterIn> = {}
): Effect.Effect<
  TestApp,
  NotStarted | BudgetError | ConfigError.ConfigError | EOuter,
  Exclude<RIn, ROuter> | ROuterIn | Scope.Scope
> =>
  Effect.gen(function*() {
    yield* refuse("TestApp.start", yield* refuseClock)
    const within = Duration.decode(giveUpAfter)
    const from = yield* Clock.currentTimeMillis
    const events = yield* Queue.unbounded<HostEvent>()
    const listening = yield* Ref.make(false)
    const nested = yield* Deferred.make<never>()
    const exit = yield* Deferred.make<number>()
    const files = yield* Ref.make<ReadonlyMap<string, string>>(new Map())
    const onHost = onMemoryHost({
      listen: () =>
        Effect.as(
          Effect.whenEffect(
            Deferred.die(
              nested,
              new Error("TestApp.start: launch() runs inside the layer: give TestApp.start the layer itself")
            ),
            Ref.getAndSet(listening, true)
          ),
          events
        ),
      exit: (code) => Effect.zipRight(Deferred.succeed(exit, code), Effect.never),
      writeFile: (path, text) => Ref.update(files, (all) => new Map(all).set(path, text))
    })
    const lifecycle = yield* Lifecycle.make(options)
    const failed = yield* Deferred.make<never, EOuter>()
    const provided = (outside ?? Layer.empty) as Layer.Layer<ROuter, EOuter, ROuterIn>
    // No timer of the start is among the timers of the test.
    yield* runService(Effect.succeed(lifecycle), layer, Duration.infinity).pipe(
      Effect.provide(Layer.tapErrorCause(provided, (cause) => Deferred.failCause(failed, cause))),
      onHost,
      Effect.forkDaemon
    )
    yield* Effect.addFinalizer(() =>
      Effect.zipRight(lifecycle.shutdown.begin({ reason: "the test ended" }), lifecycle.expedite)
    )

    const { advanceToExit, orGiveUp } = yield* watch(lifecycle, { misused: Deferred.await(nested), within })
    const reached = (name: string, reached: LifecycleState | Stage) =>
      lifecycle.follow((change) => Effect.succeed(hasReached(change, name, reached)))
    const report = orGiveUp(lifecycle.requested, notExited("app.report")).pipe(
      Effect.zipRight(advanceToExit(exit, notExited("app.report"))),
      Effect.zipRight(lifecycle.snapshot),
      Effect.flatMap((snapshot) => snapshot.report),
      Effect.catchAll(() =>
        Effect.dieMessage("app.report: the app exited at a third signal, before there was a report")
      )
    )

    yield* Effect.raceFirst(orGiveUp(reached("app", "Running"), notRunning), Deferred.await(failed))
    const { request } = yield* lifecycle.snapshot
    if (Option.isSome(request) && request.value.from === "Starting") {
      return yield* new NotStarted({ report: yield* report })
    }
    return {
      signal: (signal) =>
        Effect.zipRight(
          refuse(`app.signal("${signal}")`, refuseSignal(lifecycle.shutdown.config, signal)),
          Queue.offer(events, { _tag: "Signal", signal })
        ),
      uncaught: (error) => Effect.asVoid(Queue.offer(events, { _tag: "Uncaught", error })),
      until: (name, wanted) =>
        Effect.zipRight(
          refuse(`app.until("${name}", "${wanted}")`, refuseReached(name, wanted)),
          orGiveUp(reached(name, wanted), notReached(name, wanted))
        ),
      report,
      exit: orGiveUp(Deferred.await(exit), notExited("app.exit")),
      journal: Effect.map(
        lifecycle.snapshot,
        ({ events }) => events.map(({ at, subject, what }) => line(at - from, `${subject} ${what}`))
      ),
      files: Ref.get(files)
    }
  })
