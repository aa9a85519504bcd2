import { Cause, type ConfigError, Duration, Effect, Exit, Fiber, Layer, Option, Queue, Scope } from "effect"
import { Host } from "../../core/Host.js"
import { bounded } from "../../core/internal/bounded.js"
import { causeMessage } from "../../core/internal/errorMessage.js"
import { turn } from "../../core/internal/eventLoop.js"
import { type Lifecycle, make } from "../../core/Lifecycle.js"
import { type BudgetError, defaults } from "../../core/ShutdownConfig.js"
import { closeScope } from "./closeScope.js"
import { Launches } from "./launches.js"
import { interruptMain, releaseOuter } from "./outer.js"
import { logRunning, printFailure, publishReport, showShutdown } from "./output.js"
import { handleEvents } from "./signals.js"
import { start } from "./starting.js"

/** From the deadline to the kill: time for the releases that ran out of time, and for the report. */
const overtime = Duration.millis(500)

/**
 * Builds the layer, keeps it up until a shutdown is requested, and releases it within the budget. Returns the fiber that
 * shows the shutdown, and the scope of the watchdog.
 */
const runLayer = <ROut, E, RIn>(
  lifecycle: Lifecycle,
  beginOthers: (reason: string) => Effect.Effect<void>,
  layer: Layer.Layer<ROut, E, RIn>,
  slowAfter: Duration.Duration
): Effect.Effect<{ readonly output: Fiber.Fiber<void>; readonly watchdog: Scope.CloseableScope }, never, RIn> =>
  Effect.gen(function*() {
    const host = yield* Host
    const { shutdown } = lifecycle
    const { config } = shutdown
    // Its scope stays open: signals are received until the process ends.
    const events = yield* Scope.extend(host.listen(config.signals), yield* Scope.make())
    yield* Effect.forkDaemon(Effect.interruptible(handleEvents(lifecycle, events)))

    const scope = yield* Scope.make()
    const { ended, interrupt, released } = yield* start(lifecycle, layer, scope, slowAfter)
    const running = Effect.tap(
      ended,
      (exit) =>
        Exit.isSuccess(exit) ? Effect.zipRight(lifecycle.transition("Running"), logRunning(lifecycle)) : Effect.void
    )
    yield* Effect.exit(Effect.interruptible(Effect.raceFirst(running, lifecycle.requested)))

    const waited = yield* Effect.exit(Effect.interruptible(lifecycle.requested))
    if (Exit.isFailure(waited)) yield* Queue.offer(events, { _tag: "Interrupted" })
    const { from, reason } = yield* lifecycle.requested
    yield* beginOthers(reason)
    const watchdog = yield* Scope.make()
    yield* Scope.extend(host.endWithin(Duration.sum(yield* shutdown.remaining, overtime)), watchdog)
    const output = yield* Effect.forkDaemon(Effect.interruptible(showShutdown(lifecycle)))

    if (from === "Running" && Duration.greaterThan(config.preStopDelay, Duration.zero)) {
      yield* lifecycle.transition("LameDuck")
      yield* bounded({ within: config.preStopDelay, cut: shutdown.expedited })(Effect.never)
    }
    yield* lifecycle.transition("Draining")
    yield* closeScope(
      lifecycle,
      from === "Starting"
        ? Effect.validate(Scope.close(scope, yield* interrupt), released)
        : Scope.close(scope, Exit.void)
    )
    return { output, watchdog }
  })

/** A file of its own for each launch of a process: `report.json`, `report-2.json`. */
const numbered = (number: number) => (path: string): string =>
  number === 1 ? path : path.replace(/(?=(\.[^./\\]*)?$)/, `-${number}`)

/** Stops the lifecycle, and publishes its report. Returns the exit code. With thousands of resources each step takes a while. */
const publish = (lifecycle: Lifecycle, output: Fiber.Fiber<void>, number: number): Effect.Effect<number> =>
  Effect.gen(function*() {
    const { config } = lifecycle.shutdown
    yield* turn
    yield* lifecycle.transition("Stopped")
    yield* turn
    // It ends at `Stopped`, unless a terminal or a logger blocks it.
    yield* bounded({ within: config.duplicateWindow })(Fiber.await(output))
    const report = Option.getOrThrow((yield* lifecycle.snapshot).report)
    yield* publishReport(report, Option.map(config.reportFile, numbered(number)))
    return report.exitCode
  })

/** The lifecycle of a service whose options are refused. */
const refused = (cause: Cause.Cause<unknown>): Effect.Effect<Lifecycle> =>
  Effect.tap(
    Effect.orDie(make({ gracePeriod: defaults.gracePeriod, preStopDelay: defaults.preStopDelay })),
    (lifecycle) => {
      const failure = `cannot start: ${causeMessage(cause)}`
      return Effect.zipRight(printFailure(failure), lifecycle.fail("failed to start", failure, Cause.squash(cause)))
    }
  )

/** Why a service has failed, and the error behind it. */
interface Failed {
  readonly message: string
  readonly cause: Option.Option<unknown>
}

/**
 * The whole life of a service on a `Host`, from its options to the exit: what `launch` and `TestApp` run. Uninterruptible:
 * an interruption requests a shutdown. Ends as `Layer.launch` does, interrupted or with a failure, so that what is provided
 * outside is released; the exit follows when the main fiber has ended. A start that takes long says every `slowAfter` what it waits for.
 */
export const runService = <ROut, E, RIn>(
  makeLifecycle: Effect.Effect<Lifecycle, ConfigError.ConfigError | BudgetError>,
  layer: Layer.Layer<ROut, E, RIn>,
  slowAfter = Duration.seconds(10)
): Effect.Effect<never, Failed, RIn> =>
  Effect.gen(function*() {
    const host = yield* Host
    const main = yield* host.main
    const made = yield* Effect.exit(makeLifecycle)
    const lifecycle = Exit.isSuccess(made) ? made.value : yield* refused(made.cause)
    const launch = yield* (yield* Launches).add(main, (reason) => lifecycle.shutdown.begin({ reason }))
    if (Option.isNone(launch)) return yield* Effect.interrupt
    const { beginOthers, close, end, number } = launch.value
    const { output, watchdog } = yield* runLayer(
      lifecycle,
      beginOthers,
      Exit.isSuccess(made) ? layer : Layer.empty,
      slowAfter
    )
    // Not sooner: `runMain` observes the fiber only after its first step.
    yield* host.holdExit(main)
    const last = yield* close
    if (Option.isNone(last)) {
      yield* Effect.flatMap(publish(lifecycle, output, number), end)
      // The deadline of another launch holds from here on.
      yield* Scope.close(watchdog, Exit.void)
    } else {
      yield* releaseOuter(lifecycle, last.value.mains).pipe(
        Effect.zipRight(publish(lifecycle, output, number)),
        Effect.flatMap(end),
        Effect.zipRight(last.value.exitCode),
        Effect.flatMap(host.exit),
        Effect.forkDaemon
      )
    }
    const { request } = yield* lifecycle.snapshot
    const failed = Option.flatMap(
      request,
      ({ cause, failure }) => Option.map(failure, (message): Failed => ({ message, cause }))
    )
    return yield* Option.match(failed, {
      onNone: () => Effect.zipRight(interruptMain(main), Effect.interrupt),
      onSome: Effect.fail
    })
  }).pipe(Effect.uninterruptible)
