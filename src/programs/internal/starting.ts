import { Array, Cause, Duration, Effect, Exit, Fiber, type Layer, Option, Ref, type Scope } from "effect"
import { Host } from "../../core/Host.js"
import { bounded } from "../../core/internal/bounded.js"
import { shortDuration } from "../../core/internal/duration.js"
import { causeMessage, isUnexplained } from "../../core/internal/errorMessage.js"
import { monotonicMillis, wholeMillis } from "../../core/internal/monotonic.js"
import { once } from "../../core/internal/once.js"
import type { Lifecycle } from "../../core/Lifecycle.js"
import { Shutdown } from "../../core/Shutdown.js"
import { failFinalizer } from "./closeScope.js"
import { observedBuild } from "./observedBuild.js"
import { printFailure } from "./output.js"
import { reportOutside } from "./outsideDrains.js"

/** How long an acquire may ignore its interruption after a second signal. */
const expeditedWithin = Duration.seconds(1)

/** The layer of a service while it is built. */
export interface Start {
  /** Ends with the build: a failure requests the shutdown. Meanwhile logs what it waits for, if that takes long. */
  readonly ended: Effect.Effect<Exit.Exit<unknown, unknown>>
  /**
   * Interrupts the build, and returns with what the scope is to be closed. An acquire that ignores its interruption has half
   * of the time that remains, the reserve aside; the other half is for what was acquired.
   */
  readonly interrupt: Effect.Effect<Exit.Exit<unknown, unknown>>
  /** Completes when all that the build itself releases is released, unless it was abandoned. */
  readonly released: Effect.Effect<unknown>
}

const describe = (acquires: ReadonlyArray<Option.Option<string>>): string => {
  const names = Array.dedupe(Array.getSomes(acquires))
  const unnamed = acquires.filter(Option.isNone).length
  if (names.length > 0 && unnamed === 0) return names.join(", ")
  return [...names, unnamed > 1 ? `${unnamed} layers without a name` : "a layer without a name"].join(", ")
}

/** Builds the layer on a fiber of its own, so that an acquire that hangs can be abandoned. */
export const start = <ROut, E, RIn>(
  lifecycle: Lifecycle,
  layer: Layer.Layer<ROut, E, RIn>,
  scope: Scope.CloseableScope,
  slowAfter: Duration.Duration
): Effect.Effect<Start, never, RIn> =>
  Effect.gen(function*() {
    const { shutdown } = lifecycle
    const host = yield* Host
    const failure = yield* Ref.make(Option.none<Cause.Cause<unknown>>())
    const fail = once((cause: Cause.Cause<unknown>) =>
      Effect.gen(function*() {
        // What fails because it is interrupted is not the reason of the shutdown.
        if (Option.isSome((yield* lifecycle.snapshot).request)) return
        yield* Ref.set(failure, Option.some(cause))
        if (isUnexplained(cause)) yield* Effect.logError("the layer died while it was built", cause)
        const message = `cannot start: ${causeMessage(cause)}`
        yield* printFailure(message)
        yield* lifecycle.fail("failed to start", message, Cause.squash(cause))
      }).pipe(Effect.provideService(Host, host))
    )
    // What a failure releases is released while the service drains.
    const onFailure = (cause: Cause.Cause<unknown>) => Effect.zipRight(fail(cause), shutdown.draining)
    // Before a shutdown is requested the build runs no finalizer but of a layer that it recovers from, or fails with.
    const onFinalizerFailure = (cause: Cause.Cause<unknown>) =>
      Effect.flatMap(lifecycle.snapshot, ({ request }) =>
        Option.isSome(request) ? failFinalizer(lifecycle, cause) : Effect.void)
    const { acquires, build, idle } = yield* observedBuild(layer, scope, { onFailure, onFinalizerFailure })
    const building = yield* Effect.provideService(build, Shutdown, shutdown).pipe(
      Effect.interruptible,
      Effect.forkDaemon
    )
    const from = yield* monotonicMillis
    const logSlow = Effect.gen(function*() {
      yield* Effect.sleep(slowAfter)
      const waited = wholeMillis((yield* monotonicMillis) - from)
      yield* Effect.logWarning(`starting for ${shortDuration(waited)}, waits for ${describe(yield* acquires)}`)
    })
    return {
      ended: Effect.raceFirst(Fiber.await(building), Effect.forever(logSlow)).pipe(
        // The service logs with the loggers that the layer has set.
        Effect.tap(Exit.match({
          onFailure: fail,
          onSuccess: () =>
            Fiber.inheritAll(building)
        }))
      ),
      interrupt: Effect.gen(function*() {
        const started = yield* shutdown.elapsed
        const within = Duration.times(Duration.subtract(yield* shutdown.remaining, shutdown.config.reserve), 0.5)
        const cut = Effect.zipRight(shutdown.expedited, Effect.sleep(expeditedWithin))
        const stopped = yield* bounded({ within, cut })(Effect.zipRight(Fiber.interruptFork(building), idle))
        if (Option.isNone(stopped)) {
          const reason = `an acquire ignored its interruption: ${describe(yield* acquires)}`
          const elapsed = Duration.subtract(yield* shutdown.elapsed, started)
          yield* reportOutside(lifecycle, { name: "start", outcome: "Abandoned", reason, started, elapsed })
        }
        const failed = yield* Ref.get(failure)
        const built = Option.getOrElse(yield* Fiber.poll(building), () => Exit.interrupt(building.id()))
        return Option.match(failed, { onNone: () => built, onSome: Exit.failCause })
      }),
      released: Effect.flatMap(acquires, ({ length }) => length === 0 ? Fiber.await(building) : Effect.void)
    }
  })
