/**
 * A service in virtual time: start it, signal it, and look at its report.
 *
 * @since 0.1.0
 */
import {
  Chunk,
  Clock,
  type ConfigError,
  Data,
  Deferred,
  Effect,
  type Layer,
  Option,
  Queue,
  Ref,
  type Scope,
  TestClock
} from "effect"
import { Host, type HostEvent, type Service as HostService } from "../core/Host.js"
import { makeLifecycle } from "../core/internal/lifecycle.js"
import type { Stage } from "../core/Shutdown.js"
import { type BudgetError, type Options, resolve, type Signal } from "../core/ShutdownConfig.js"
import type { LifecycleState, ShutdownReport } from "../core/ShutdownReport.js"
import { announceReport } from "../programs/internal/announce.js"
import { supervise } from "../programs/internal/supervise.js"
import { line } from "./Journal.js"

/**
 * The app ended while it was started. The report says why.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotStarted extends Data.TaggedError("NotStarted")<{ readonly report: ShutdownReport }> {
  override get message() {
    return this.report.failure ?? `told to stop while starting: ${this.report.cause}`
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface TestApp {
  /** Sends a signal, as the platform would. */
  readonly signal: (signal: Signal) => Effect.Effect<void>
  /** Throws an error that nobody catches. */
  readonly uncaught: (error: unknown) => Effect.Effect<void>
  /** Completes when the resource of this name is at this stage, or past it; with `"app"`, when the app is in this state. */
  readonly until: (name: string, reached: Stage | LifecycleState) => Effect.Effect<void>
  /** Runs virtual time on to the end of the shutdown, and returns its report. Begin one first: with a signal. */
  readonly report: Effect.Effect<ShutdownReport>
  /** The code the process would have exited with; completes when it does, without running time on. */
  readonly exit: Effect.Effect<number>
  /** Each change of state and stage so far, one line each, with the time since the start: `5s importer draining`. */
  readonly journal: Effect.Effect<ReadonlyArray<string>>
  /** The files that were written, such as the report. */
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

/** As many steps as no shutdown takes, and as many idle ones as no step takes: a test ends with a message, not a hang. */
const maxSteps = 10_000
const maxIdle = 1000

/** Moves virtual time from one sleep to the next until the app has exited. */
const runOn = (exited: Effect.Effect<boolean>) =>
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
    return yield* Effect.dieMessage("the app has not ended; was it told to stop, with app.signal(\"SIGTERM\")?")
  })

/**
 * Launches the layer as `launch` does, on a host without process, and waits until it is running. Fails when it could
 * not be started. Needs the `TestClock` (`it.effect`, `it.scoped`), and layers without real I/O: what really waits for
 * a socket does not see virtual time pass.
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
 * it.scoped("the worker is given its three seconds", () =>
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
    const inbox = yield* Queue.unbounded<HostEvent>()
    const exit = yield* Deferred.make<number>()
    const done = yield* Deferred.make<ShutdownReport>()
    const files = yield* Ref.make<ReadonlyMap<string, string>>(new Map())
    const host: HostService = {
      listen: () => Effect.succeed(inbox),
      exit: (code) => Effect.zipRight(Deferred.succeed(exit, code), Effect.never),
      terminal: Option.none(),
      writeFile: (path, text) => Ref.update(files, (all) => new Map(all).set(path, text)),
      ground: () => Effect.succeed([])
    }
    const config = yield* resolve(options)
    const lifecycle = yield* makeLifecycle(config)
    yield* supervise(lifecycle, layer).pipe(
      Effect.tap((report) => announceReport(report, config)),
      Effect.tap((report) => Deferred.succeed(done, report)),
      Effect.flatMap((report) => host.exit(report.exitCode)),
      Effect.provideService(Host, host),
      Effect.forkDaemon
    )
    const until: TestApp["until"] = (name, reached) =>
      lifecycle.follow(({ entries, state }) => {
        const now = name === "app" ? state : entries.find((entry) => entry.name === name)?.stage
        return Effect.succeed(now !== undefined && order.indexOf(now) >= order.indexOf(reached))
      })
    const signal = (signal: Signal) => Effect.asVoid(Queue.offer(inbox, { _tag: "Signal", signal }))
    const exited = Effect.zipWith(Deferred.isDone(done), Deferred.isDone(exit), (a, b) => a || b)
    // Whatever a test leaves running is told to stop without waiting.
    yield* Effect.addFinalizer(() =>
      Effect.zipRight(lifecycle.service.begin({ reason: "the test ended" }), lifecycle.expedite)
    )

    yield* until("app", "Running")
    const { begun } = yield* lifecycle.snapshot
    if (Option.isSome(begun) && begun.value.from === "Starting") {
      yield* runOn(exited)
      return yield* new NotStarted({ report: yield* Deferred.await(done) })
    }
    return {
      signal,
      uncaught: (error) => Effect.asVoid(Queue.offer(inbox, { _tag: "Uncaught", error })),
      until,
      report: Effect.zipRight(runOn(exited), Deferred.await(done)),
      exit: Deferred.await(exit),
      journal: Effect.map(
        lifecycle.snapshot,
        ({ events }) => events.map(({ at, subject, what }) => line(at - from, `${subject} ${what}`))
      ),
      files: Ref.get(files)
    }
  })
