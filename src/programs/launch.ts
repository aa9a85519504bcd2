/**
 * Runs a layer as a service: lifecycle, budget, signals, report, exit.
 *
 * @since 0.1.0
 */
import { Effect, type Layer, Option } from "effect"
import { Host } from "../core/Host.js"
import { causeMessage } from "../core/internal/errorMessage.js"
import { makeLifecycle } from "../core/internal/lifecycle.js"
import { type Options, resolve } from "../core/ShutdownConfig.js"
import { announceFailure, announceReport } from "./internal/announce.js"
import { supervise } from "./internal/supervise.js"

/**
 * Builds the layer, keeps it up until something asks it to stop, releases it within the budget, and ends the process.
 * Reads like `Layer.launch`:
 *
 * @example
 * ```ts
 * import { NodeRuntime } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { launch } from "lastcall"
 *
 * const App = Layer.empty
 *
 * App.pipe(launch({ gracePeriod: "25 seconds", preStopDelay: "5 seconds" }), NodeRuntime.runMain)
 * ```
 *
 * **What begins the shutdown.** A signal (SIGTERM, SIGINT and SIGHUP by default), `Shutdown.begin`, the interruption of
 * this effect, a component that gives up, an uncaught error or unhandled rejection. While the layer is still being
 * built, that is interrupted, and what was acquired is released.
 *
 * **More signals.** Within 500 milliseconds of one that was acted upon: a duplicate, ignored. A second one expedites: no
 * more waiting, interrupt now, still in order. A third one exits at once with 128 + its number.
 *
 * **Exit.** 0 when nothing was cut, abandoned or failed, 1 otherwise; 1 with one line that says why when the layer could
 * not be built or the options make no sense. Always through the `Host`: a stray timer keeps nothing alive.
 *
 * **Promised:** the process ends by its deadline, unless its event loop is blocked, which is detected and logged.
 *
 * @since 0.1.0
 * @category constructors
 */
export const launch =
  (options: Options = {}) => <ROut, E, RIn>(layer: Layer.Layer<ROut, E, RIn>): Effect.Effect<never, never, RIn> =>
    Effect.gen(function*() {
      const host = yield* Host
      const lifecycle = yield* Effect.option(
        resolve(options).pipe(
          Effect.flatMap(makeLifecycle),
          Effect.tapErrorCause((cause) => announceFailure(`cannot start: ${causeMessage(cause)}`))
        )
      )
      if (Option.isNone(lifecycle)) return yield* host.exit(1)
      const report = yield* supervise(lifecycle.value, layer)
      yield* announceReport(report, lifecycle.value.service.config)
      return yield* host.exit(report.exitCode)
    }).pipe(Effect.uninterruptible)
