/**
 * A launched service in virtual time: start it, signal it, read its report.
 *
 * `start` runs the same function as `launch`. What differs is the `Host`: signals come from the test, the exit code and
 * the files go to the test, there is no terminal, and nothing blocks the event loop.
 *
 * @module
 * @since 0.1.0
 */
import { Chunk, Clock, type ConfigError, Data, Deferred, Effect, Option, Queue, Ref, TestClock } from "effect"
import type { Layer, Scope } from "effect"
import { Host, type HostEvent, type Service as HostService } from "../core/Host.js"
import * as Lifecycle from "../core/Lifecycle.js"
import type { Stage } from "../core/Shutdown.js"
import type { BudgetError, Options, Signal } from "../core/ShutdownConfig.js"
import type { LifecycleState, ShutdownReport } from "../core/ShutdownReport.js"
import { runService } from "../programs/internal/runService.js"
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
 * A running app, as its test sees it.
 *
 * @since 0.1.0
 * @category models
 */
export interface TestApp {
  /** Sends a signal, as a platform or a terminal does. */
  readonly signal: (signal: Signal) => Effect.Effect<void>
  /** Raises an uncaught error. */
  readonly uncaught: (error: unknown) => Effect.Effect<void>
  /**
   * Completes when the resource of this name has reached this stage or a later one; for the name `"app"`, when the app
   * has reached this state. Does not move the clock.
   */
  readonly until: (name: string, reached: Stage | LifecycleState) => Effect.Effect<void>
  /**
   * Moves the clock until the app has exited, and returns its report. Dies when no shutdown was requested, and when a
   * third signal ended the process before there was a report.
   */
  readonly report: Effect.Effect<ShutdownReport>
  /** Completes when the app has exited, with its exit code. Does not move the clock. */
  readonly exit: Effect.Effect<number>
  /** Each change of state and of stage so far, a line each, with the time since the start: `5s importer draining`. */
  readonly journal: Effect.Effect<ReadonlyArray<string>>
  /** The files that were written, by path, such as the report. */
  readonly files: Effect.Effect<ReadonlyMap<string, string>>
}

const order: ReadonlyArray<Stage | LifecycleState> = [
  "Starting",
  "Running",
  "LameDuck",
  "Draining",
  "Stopped",
  "open",
  "quiesced",
  "draining",
  "interrupting",
  "releasing",
  "closed"
]

/** More steps than any shutdown has, and more steps without a timer than any of its steps takes. */
const maxSteps = 10_000
const maxIdle = 1000

/** Moves the clock from timer to timer until the app has exited. Dies instead of hanging. */
const advance = (exited: Effect.Effect<boolean>) =>
  Effect.gen(function*() {
    for (let step = 0, idle = 0; step < maxSteps && idle < maxIdle; step++) {
      yield* TestClock.adjust(0)
      if (yield* exited) return
      const now = yield* Clock.currentTimeMillis
      const sleeps = yield* TestClock.sleeps()
      const next = Math.min(...Chunk.toReadonlyArray(sleeps).filter((instant) => instant > now))
      idle = Number.isFinite(next) ? 0 : idle + 1
      if (Number.isFinite(next)) yield* TestClock.setTime(next)
    }
    return yield* Effect.dieMessage(
      "the app has not exited; was a shutdown requested, as with app.signal(\"SIGTERM\")?"
    )
  })

/**
 * Launches the layer on a host in memory, and waits until the app is running. When the scope closes, an app that still
 * runs is shut down without waiting.
 *
 * Needs the `TestClock` (`it.effect`, `it.scoped`) and layers without real I/O: a wait for a socket does not end in
 * virtual time.
 *
 * **Errors.** `NotStarted` when the layer could not be built; `BudgetError` and `ConfigError` when the options are refused.
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
export const start = <ROut, E, RIn>(
  layer: Layer.Layer<ROut, E, RIn>,
  options: Options = {}
): Effect.Effect<TestApp, NotStarted | BudgetError | ConfigError.ConfigError, RIn | Scope.Scope> =>
  Effect.gen(function*() {
    const from = yield* Clock.currentTimeMillis
    const events = yield* Queue.unbounded<HostEvent>()
    const exit = yield* Deferred.make<number>()
    const files = yield* Ref.make<ReadonlyMap<string, string>>(new Map())
    const host: HostService = {
      listen: () => Effect.succeed(events),
      exit: (code) => Effect.zipRight(Deferred.succeed(exit, code), Effect.never),
      terminal: Option.none(),
      writeFile: (path, text) => Ref.update(files, (all) => new Map(all).set(path, text)),
      environmentWarnings: () => Effect.succeed([])
    }
    const made = yield* Deferred.make<Lifecycle.Lifecycle, BudgetError | ConfigError.ConfigError>()
    yield* runService(Effect.zipRight(Effect.intoDeferred(Lifecycle.make(options), made), Deferred.await(made)), layer)
      .pipe(
        Effect.provideService(Host, host),
        Effect.forkDaemon
      )
    const lifecycle = yield* Deferred.await(made)
    yield* Effect.addFinalizer(() =>
      Effect.zipRight(lifecycle.shutdown.begin({ reason: "the test ended" }), lifecycle.expedite)
    )
    const until: TestApp["until"] = (name, reached) =>
      lifecycle.follow(({ resources, state }) => {
        const now = name === "app" ? state : resources.find((resource) => resource.name === name)?.stage
        return Effect.succeed(now !== undefined && order.indexOf(now) >= order.indexOf(reached))
      })
    const report = Effect.zipRight(advance(Deferred.isDone(exit)), lifecycle.snapshot).pipe(
      Effect.flatMap((snapshot) => snapshot.report),
      Effect.catchAll(() => Effect.dieMessage("the app exited at a third signal, before there was a report"))
    )

    yield* until("app", "Running")
    const { request } = yield* lifecycle.snapshot
    if (Option.isSome(request) && request.value.from === "Starting") {
      return yield* new NotStarted({ report: yield* report })
    }
    return {
      signal: (signal) => Effect.asVoid(Queue.offer(events, { _tag: "Signal", signal })),
      uncaught: (error) => Effect.asVoid(Queue.offer(events, { _tag: "Uncaught", error })),
      until,
      report,
      exit: Deferred.await(exit),
      journal: Effect.map(
        lifecycle.snapshot,
        ({ events }) => events.map(({ at, subject, what }) => line(at - from, `${subject} ${what}`))
      ),
      files: Ref.get(files)
    }
  })
