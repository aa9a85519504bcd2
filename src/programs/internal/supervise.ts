import { Cause, Duration, Effect, Exit, Fiber, Layer, Option, Queue, Scope } from "effect"
import { Host } from "../../core/Host.js"
import { bounded } from "../../core/internal/bounded.js"
import { causeMessage, isUnexplained } from "../../core/internal/errorMessage.js"
import type { Lifecycle, Snapshot } from "../../core/internal/lifecycle.js"
import { Shutdown } from "../../core/Shutdown.js"
import { DrainReport, exitCode, ShutdownReport } from "../../core/ShutdownReport.js"
import { announceRunning, narrate } from "./announce.js"
import { obey } from "./signals.js"

const leftBehind = (lifecycle: Lifecycle, name: string, reason: string) =>
  Effect.map(lifecycle.service.elapsed, (elapsed) =>
    new DrainReport({
      name,
      outcome: "Abandoned",
      started: elapsed,
      elapsed: Duration.zero,
      finished: 0,
      handedBack: 0,
      cut: 1,
      reason
    }))

/** The reports in the order in which the releases began; of those that began together, the last acquired one first. */
const ordered = (snapshot: Snapshot): ReadonlyArray<DrainReport> =>
  snapshot.entries
    .flatMap((entry) => Option.toArray(entry.report))
    .reverse()
    .sort((a, b) => Duration.toMillis(a.started) - Duration.toMillis(b.started))

/**
 * The whole life of a launched layer, from `Starting` to the report. Never fails, and ends by its deadline once it was
 * told to stop. The caller is in an uninterruptible region; being interrupted is one way of being told.
 */
export const supervise = <ROut, E, RIn>(
  lifecycle: Lifecycle,
  layer: Layer.Layer<ROut, E, RIn>
): Effect.Effect<ShutdownReport, never, RIn> =>
  Effect.uninterruptible(
    Effect.gen(function*() {
      const host = yield* Host
      const { config, ...service } = lifecycle.service
      // Never closed: who launches listens until the process ends.
      const inbox = yield* Scope.extend(host.listen(config.signals), yield* Scope.make())
      yield* Effect.forkDaemon(Effect.interruptible(obey(lifecycle, inbox)))

      // On a fiber of its own, so that an acquire that hangs can be left behind at the deadline.
      const scope = yield* Scope.make()
      const memoMap = yield* Layer.makeMemoMap
      const building = yield* Layer.buildWithMemoMap(layer, memoMap, scope).pipe(
        Effect.provideService(Shutdown, lifecycle.service),
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
            // The loggers and such that the layer has set are for what is said from here on, too.
            Effect.zipRight(Fiber.inheritAll(building), Effect.zipRight(lifecycle.run, announceRunning(lifecycle)))
        })
      )
      yield* Effect.exit(Effect.interruptible(Effect.raceFirst(started, lifecycle.begun)))

      const told = yield* Effect.exit(Effect.interruptible(lifecycle.begun))
      if (Exit.isFailure(told)) yield* Queue.offer(inbox, { _tag: "Interrupted" })
      const { from } = yield* lifecycle.begun
      const narrator = yield* Effect.forkDaemon(Effect.interruptible(narrate(lifecycle)))

      const lost: Array<DrainReport> = []
      if (from === "Running" && Duration.greaterThan(config.preStopDelay, Duration.zero)) {
        yield* lifecycle.transition("LameDuck")
        yield* bounded({ within: config.preStopDelay, cut: service.expedited })(Effect.never)
      }
      yield* lifecycle.transition("Draining")
      if (from === "Starting") {
        const ended = yield* bounded({ within: yield* service.remaining })(Fiber.interrupt(building))
        if (Option.isNone(ended)) {
          lost.push(yield* leftBehind(lifecycle, "start", "an acquire ignored its interruption"))
        }
      }
      const closed = yield* bounded({ within: yield* service.remaining })(Scope.close(scope, Exit.void))
      if (Option.isNone(closed)) {
        lost.push(yield* leftBehind(lifecycle, "scope", "a finalizer that is not bounded by a Drain did not end"))
        // What it kept from being released is released now, still in order, without any time left.
        const { entries } = yield* lifecycle.snapshot
        yield* bounded({ within: config.reserve })(
          Effect.forEach(entries.toReversed(), (entry) => entry.resource.finalize, { discard: true })
        )
      } else if (Exit.isFailure(closed.value)) {
        const failure = `a finalizer failed: ${causeMessage(closed.value.cause)}`
        yield* Effect.logError(failure, closed.value.cause)
        yield* lifecycle.fail("a finalizer failed", failure)
      }
      yield* lifecycle.transition("Stopped")
      // It ends by itself with that, unless what it writes to does not take it.
      yield* bounded({ within: config.duplicateWindow })(Fiber.await(narrator))

      const snapshot = yield* lifecycle.snapshot
      const drains = [...ordered(snapshot), ...lost]
      const begun = yield* lifecycle.begun
      const failure = Option.getOrUndefined(Option.flatMap(snapshot.begun, (_) => _.failure))
      return new ShutdownReport({
        cause: begun.reason,
        from,
        signals: snapshot.signals,
        expedited: snapshot.expedited,
        gracePeriod: config.gracePeriod,
        preStopDelay: config.preStopDelay,
        elapsed: yield* service.elapsed,
        drains,
        ...(failure === undefined ? {} : { failure }),
        exitCode: exitCode({ drains, failure })
      })
    })
  )
