import { type ConfigError, Duration, Effect, Exit, Fiber, type Layer, Option, Queue, Scope } from "effect"
import { Host } from "../../core/Host.js"
import { bounded } from "../../core/internal/bounded.js"
import { causeMessage } from "../../core/internal/errorMessage.js"
import type { Lifecycle } from "../../core/Lifecycle.js"
import type { BudgetError } from "../../core/ShutdownConfig.js"
import type { ShutdownReport } from "../../core/ShutdownReport.js"
import { closeScope } from "./closeScope.js"
import { logRunning, printFailure, publishReport, showShutdown } from "./output.js"
import { handleEvents } from "./signals.js"
import { start } from "./starting.js"

/** From the deadline to the kill: time for the releases that ran out of time, and for the report. */
const overtime = Duration.millis(500)

/** Builds the layer, keeps it up until a shutdown is requested, and releases it within the budget. Returns the report. */
const runLayer = <ROut, E, RIn>(
  lifecycle: Lifecycle,
  layer: Layer.Layer<ROut, E, RIn>,
  slowAfter: Duration.Duration
): Effect.Effect<ShutdownReport, never, RIn> =>
  Effect.gen(function*() {
    const host = yield* Host
    const { shutdown } = lifecycle
    const { config } = shutdown
    // Its scope stays open: signals are received until the process ends.
    const events = yield* Scope.extend(host.listen(config.signals), yield* Scope.make())
    yield* Effect.forkDaemon(Effect.interruptible(handleEvents(lifecycle, events)))

    const scope = yield* Scope.make()
    const { ended, interrupt, released } = yield* start(lifecycle, layer, scope, slowAfter)
    const running = Effect.tap(ended, (exit) =>
      Exit.isSuccess(exit) ? Effect.zipRight(lifecycle.transition("Running"), logRunning(lifecycle)) : Effect.void)
    yield* Effect.exit(Effect.interruptible(Effect.raceFirst(running, lifecycle.requested)))

    const waited = yield* Effect.exit(Effect.interruptible(lifecycle.requested))
    if (Exit.isFailure(waited)) {
      yield* Queue.offer(events, { _tag: "Interrupted" })
    }
    const { from } = yield* lifecycle.requested
    // Its scope stays open too.
    yield* Scope.extend(host.endWithin(Duration.sum(yield* shutdown.remaining, overtime)), yield* Scope.make())
    const output = yield* Effect.forkDaemon(Effect.interruptible(showShutdown(lifecycle)))

    if (from === "Running" && Duration.greaterThan(config.preStopDelay, Duration.zero)) {
      yield* lifecycle.transition("LameDuck")
      yield* bounded({ within: config.preStopDelay, cut: shutdown.expedited })(Effect.never)
    }
    yield* lifecycle.transition("Draining")
    yield* closeScope(
      lifecycle,
      from === "Starting"
        ? Effect.zipRight(Scope.close(scope, yield* interrupt), released)
        : Scope.close(scope, Exit.void)
    )
    yield* lifecycle.transition("Stopped")
    // It ends at `Stopped`, unless a terminal or a logger blocks it.
    yield* bounded({ within: config.duplicateWindow })(Fiber.await(output))
    return Option.getOrThrow((yield* lifecycle.snapshot).report)
  })

/**
 * The whole life of a service on a `Host`, from its options to the exit: what `launch` and `TestApp` run. Uninterruptible:
 * an interruption requests a shutdown. A start that takes long says every `slowAfter` what it waits for.
 */
export const runService = <ROut, E, RIn>(
  lifecycle: Effect.Effect<Lifecycle, ConfigError.ConfigError | BudgetError>,
  layer: Layer.Layer<ROut, E, RIn>,
  slowAfter = Duration.seconds(10)
): Effect.Effect<never, never, RIn> =>
  Effect.gen(function*() {
    const host = yield* Host
    const made = yield* Effect.exit(lifecycle)
    if (Exit.isFailure(made)) {
      yield* printFailure(`cannot start: ${causeMessage(made.cause)}`)
      return yield* host.exit(1)
    }
    const report = yield* runLayer(made.value, layer, slowAfter)
    yield* publishReport(report, made.value.shutdown.config)
    return yield* host.exit(report.exitCode)
  }).pipe(Effect.uninterruptible)
