/**
 * Runs a layer as a service: signals, budget, report, exit code.
 *
 * @module
 * @since 0.1.0
 */
import { Data, Effect, type Layer, Option } from "effect"
import * as Lifecycle from "../core/Lifecycle.js"
import type { Options } from "../core/ShutdownConfig.js"
import { logNoMore } from "./internal/logNoMore.js"
import { rehearse } from "./internal/rehearsal.js"
import { runService } from "./internal/runService.js"

/**
 * The service has failed: its options were refused, its layer could not be built, a component gave up, an error was uncaught,
 * or a finalizer failed. The message is the `failure` of its report, which `launch` has shown; `cause` is the error behind it,
 * if there is one.
 *
 * @since 0.1.0
 * @category errors
 */
export class LaunchError extends Data.TaggedError("LaunchError")<{
  readonly message: string
  readonly cause?: unknown
}> {
  /** The name and the message. Without the lines of a stack, all of this module, which `runMain` would log. */
  override readonly stack = `LaunchError: ${this.message}`
}

/**
 * Builds the layer, keeps it up until a shutdown is requested, releases it within the budget, and ends the process. Takes
 * the place of `Layer.launch`.
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
 * **What requests a shutdown.** A signal (SIGTERM, SIGINT and SIGHUP by default), `Shutdown.begin`, the interruption of
 * this effect, a component that gives up, an uncaught error or an unhandled rejection.
 *
 * **The start.** A layer that fails, and from which no other recovers, ends it at once, even if the acquire of a neighbour
 * hangs. Whatever ends it, the build is interrupted, and what was acquired is drained and released. An acquire that ignores
 * its interruption is abandoned after half of the time that remains; the other half is for what was acquired. A start that
 * takes long logs every 10 seconds what it waits for, by the name of the `Drain` or of the span.
 *
 * **Later signals.** Within 500 milliseconds of the last one: a duplicate, ignored. The second expedites: drains stop
 * waiting and interrupt, still in order. The third exits at once with 128 + its number.
 *
 * **What is provided outside.** When the layer is released, launch ends as `Layer.launch` does: interrupted, together with
 * the main fiber, or with a `LaunchError` after a failure. So layers that are provided outside are released, and finalizers
 * run, within the same budget. They have what the layer leaves, at least a quarter of the reserve: 500 milliseconds by
 * default. If that takes noticeable time, it is the resource `outer` of the report. The process ends after the main fiber, at
 * the latest at the deadline.
 *
 * **Several launches.** A process is one service: a shutdown of one launch requests that of the others, with its number and
 * reason as their reason. Each has its own report (and its own file: `report-2.json` for the second of `report.json`); the
 * process ends after the last. A launch that begins after that, such as a retry, is interrupted at once.
 *
 * **Exit code.** 0 when no work was cut or abandoned and nothing failed, otherwise 1; of several launches the highest. Also
 * 1, with one line that says why, when the layer could not be built or the options were refused. A higher code that the
 * `teardown` of `runMain` asks for before it waits for anything wins. The process exits through the `Host`, whatever timers
 * or sockets are open.
 *
 * **Errors.** `LaunchError`, after everything else: it is for what stands outside, such as `Effect.tapErrorCause`. The fiber
 * of launch does not log it again, so `runMain` adds no second line.
 *
 * **Promised:** the process ends by the deadline, which is `gracePeriod` after the request. Where it cannot end by itself,
 * it kills itself half a second later, and one line on stderr says why: the event loop is blocked, or libuv's thread pool is
 * busy with file system, DNS, crypto or zlib work, for which Node waits before it exits. The exit code is then 137 (SIGKILL),
 * and 133 (SIGTRAP) for process 1 of a container, which the kernel protects from its own SIGKILL.
 * **Not promised:** that, when the event loop is blocked before the request arrives, when the permission model of Node
 * forbids Workers, and when a Worker that is in synchronous native code keeps the process. Before Node 22.14, or without
 * Linux, crypto and zlib jobs may be missed: there, as many threads as Workers were started may compute unnoticed. And that
 * a failure inside of `Layer.mapError` or `Layer.tapError` is seen before the neighbours of its layer have ended. That
 * a logger which is already released receives the report: stdout and `reportFile` do.
 *
 * @since 0.1.0
 * @category constructors
 */
export const launch =
  (options: Options = {}) => <ROut, E, RIn>(layer: Layer.Layer<ROut, E, RIn>): Effect.Effect<never, LaunchError, RIn> =>
    runService(Effect.tap(Lifecycle.make(options), (lifecycle) => Effect.forkDaemon(rehearse(lifecycle))), layer).pipe(
      Effect.mapError(({ cause, message }) =>
        new LaunchError(Option.match(cause, { onNone: () => ({ message }), onSome: (cause) => ({ message, cause }) }))
      ),
      Effect.tapError(logNoMore)
    )
