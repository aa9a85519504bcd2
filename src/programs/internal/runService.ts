import { Cause, type ConfigError, Duration, Effect, Exit, Fiber, Layer, Option, Queue, Scope } from "effect"
import { Host } from "../../core/Host.js"
import { bounded } from "../../core/internal/bounded.js"
import { causeMessage, isUnexplained } from "../../core/internal/errorMessage.js"
import { makeMemoMap } from "../../core/internal/memoMap.js"
import type { Lifecycle } from "../../core/Lifecycle.js"
import { Shutdown } from "../../core/Shutdown.js"
import type { BudgetError } from "../../core/ShutdownConfig.js"
import { DrainReport, type ShutdownReport } from "../../core/ShutdownReport.js"
import { logRunning, printFailure, publishReport, showShutdown } from "./output.js"
import { handleEvents } from "./signals.js"

/** From the deadline to the kill: time for the releases that ran out of time, and for the report. */
const overtime = Duration.millis(500)

/** Reports work outside of any `Drain` that did not end by the deadline. */
const abandon = ({ shutdown }: Lifecycle, name: string, reason: string): Effect.Effect<void> =>
  Effect.gen(function*() {
    const nothing = { inFlight: 0, finished: 0, handedBack: 0, cut: 0 }
    const resource = yield* shutdown.register({
      name,
      stage: "open",
      report: Option.none(),
      drainTimeout: Option.none(),
      progress: () => nothing,
      condition: () => undefined,
      finalize: Effect.void
    })
    const report = new DrainReport({
      name: resource.name,
      outcome: "Abandoned",
      started: yield* shutdown.elapsed,
      elapsed: Duration.zero,
      finished: 0,
      handedBack: 0,
      cut: 1,
      reason
    })
    yield* shutdown.update({ ...resource, stage: "closed", report: Option.some(report) })
  })

/** Builds the layer, keeps it up until a shutdown is requested, and releases it within the budget. Returns the report. */
const runLayer = <ROut, E, RIn>(
  lifecycle: Lifecycle,
  layer: Layer.Layer<ROut, E, RIn>
): Effect.Effect<ShutdownReport, never, RIn> =>
  Effect.gen(function*() {
    const host = yield* Host
    const { shutdown } = lifecycle
    const { config } = shutdown
    // Its scope stays open: signals are received until the process ends.
    const events = yield* Scope.extend(host.listen(config.signals), yield* Scope.make())
    yield* Effect.forkDaemon(Effect.interruptible(handleEvents(lifecycle, events)))

    // On a fiber of its own, so that an acquire that hangs can be abandoned at the deadline.
    const scope = yield* Scope.make()
    const memoMap = yield* makeMemoMap
    const building = yield* Layer.buildWithMemoMap(layer, memoMap, scope).pipe(
      Effect.provideService(Shutdown, shutdown),
      Effect.interruptible,
      Effect.forkDaemon
    )
    const started = Effect.flatMap(
      Fiber.await(building),
      Exit.match({
        onFailure: (cause) =>
          Cause.isInterruptedOnly(cause) ? Effect.void : Effect.zipRight(
            isUnexplained(cause) ? Effect.logError("the layer died while it was built", cause) : Effect.void,
            lifecycle.fail("failed to start", `cannot start: ${causeMessage(cause)}`)
          ),
        onSuccess: () =>
          // From here on, log with the loggers that the layer has set.
          Effect.zipRight(
            Fiber.inheritAll(building),
            Effect.zipRight(lifecycle.transition("Running"), logRunning(lifecycle))
          )
      })
    )
    yield* Effect.exit(Effect.interruptible(Effect.raceFirst(started, lifecycle.requested)))

    const waited = yield* Effect.exit(Effect.interruptible(lifecycle.requested))
    if (Exit.isFailure(waited)) yield* Queue.offer(events, { _tag: "Interrupted" })
    const { from } = yield* lifecycle.requested
    // Its scope stays open too.
    yield* Scope.extend(host.endWithin(Duration.sum(yield* shutdown.remaining, overtime)), yield* Scope.make())
    const output = yield* Effect.forkDaemon(Effect.interruptible(showShutdown(lifecycle)))

    if (from === "Running" && Duration.greaterThan(config.preStopDelay, Duration.zero)) {
      yield* lifecycle.transition("LameDuck")
      yield* bounded({ within: config.preStopDelay, cut: shutdown.expedited })(Effect.never)
    }
    yield* lifecycle.transition("Draining")
    if (from === "Starting") {
      const interrupted = yield* bounded({ within: yield* shutdown.remaining })(Fiber.interrupt(building))
      if (Option.isNone(interrupted)) yield* abandon(lifecycle, "start", "an acquire ignored its interruption")
    }
    const closed = yield* bounded({ within: yield* shutdown.remaining })(Scope.close(scope, Exit.void))
    if (Option.isNone(closed)) {
      // Releases that wait for the finalizer that hangs run now, in order, with no time left.
      const { resources } = yield* lifecycle.snapshot
      yield* abandon(lifecycle, "scope", "a finalizer that is not bounded by a Drain did not end")
      yield* bounded({ within: config.reserve })(
        Effect.forEach(resources.toReversed(), ({ finalize }) => finalize, { discard: true })
      )
    } else if (Exit.isFailure(closed.value)) {
      const failure = `a finalizer failed: ${causeMessage(closed.value.cause)}`
      yield* Effect.logError(failure, closed.value.cause)
      yield* lifecycle.fail("a finalizer failed", failure)
    }
    yield* lifecycle.transition("Stopped")
    // It ends at `Stopped`, unless a terminal or a logger blocks it.
    yield* bounded({ within: config.duplicateWindow })(Fiber.await(output))
    return Option.getOrThrow((yield* lifecycle.snapshot).report)
  })

/**
 * The whole life of a service on a `Host`, from its options to the exit: what `launch` and `TestApp` run. Uninterruptible:
 * an interruption requests a shutdown.
 */
export const runService = <ROut, E, RIn>(
  lifecycle: Effect.Effect<Lifecycle, ConfigError.ConfigError | BudgetError>,
  layer: Layer.Layer<ROut, E, RIn>
): Effect.Effect<never, never, RIn> =>
  Effect.gen(function*() {
    const host = yield* Host
    const made = yield* Effect.exit(lifecycle)
    if (Exit.isFailure(made)) {
      yield* printFailure(`cannot start: ${causeMessage(made.cause)}`)
      return yield* host.exit(1)
    }
    const report = yield* runLayer(made.value, layer)
    yield* publishReport(report, made.value.shutdown.config)
    return yield* host.exit(report.exitCode)
  }).pipe(Effect.uninterruptible)
