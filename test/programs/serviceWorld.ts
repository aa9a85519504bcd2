import { Clock, Deferred, Effect, type Layer, Logger, LogLevel, Option, Queue } from "effect"
import type { HostEvent } from "../../src/core/Host.js"
import * as Lifecycle from "../../src/core/Lifecycle.js"
import type { Options, Signal } from "../../src/core/ShutdownConfig.js"
import { format } from "../../src/core/ShutdownReport.js"
import { onMemoryHost } from "../../src/programs/internal/memoryHost.js"
import { runService } from "../../src/programs/internal/runService.js"
import { line } from "../../src/testing/Journal.js"
import { virtually } from "../kit/virtually.js"

/** What a service has shown, each line with the time since its start. */
interface Observed {
  /** Each change of state and of stage. */
  readonly journal: ReadonlyArray<string>
  /** The report, as a terminal shows it. */
  readonly report: ReadonlyArray<string>
  /** The log, from warnings on; for a level below a warning, all from it on. */
  readonly log: ReadonlyArray<string>
  /** The end of the process. */
  readonly exit: string
}

/** Runs the layer as a service in virtual time on a host in memory, which gets the signals at their time, in milliseconds. */
export const runInMemory = <E>(
  layer: Layer.Layer<never, E>,
  signals: ReadonlyArray<readonly [at: number, signal: Signal]>,
  options: Options = {},
  level: LogLevel.LogLevel = LogLevel.Warning
): Promise<Observed> =>
  Effect.gen(function*() {
    const log: Array<string> = []
    const clock = yield* Effect.clock
    const logger = Logger.make(({ logLevel, message }) => {
      const [text] = Array.isArray(message) ? message : [message]
      log.push(line(clock.unsafeCurrentTimeMillis(), `${logLevel.label} ${String(text)}`))
    })
    const events = yield* Queue.unbounded<HostEvent>()
    const exited = yield* Deferred.make<string>()
    const lifecycle = yield* Lifecycle.make(options)
    yield* runService(Effect.succeed(lifecycle), layer).pipe(
      onMemoryHost({
        listen: () => Effect.succeed(events),
        exit: (code) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) =>
            Effect.zipRight(Deferred.succeed(exited, line(now, `exit ${code}`)), Effect.never))
      }),
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Logger.withMinimumLogLevel(level),
      Effect.forkDaemon
    )
    for (const [at, signal] of signals) {
      yield* Effect.sleep(at - (yield* Clock.currentTimeMillis))
      yield* Queue.offer(events, { _tag: "Signal", signal })
    }
    const exit = yield* Deferred.await(exited)
    const snapshot = yield* lifecycle.snapshot
    return {
      journal: snapshot.events.map(({ at, subject, what }) =>
        line(at, `${subject} ${what}`)
      ),
      report: format(Option.getOrThrow(snapshot.report), { columns: 120 }).split("\n"),
      log,
      exit
    }
  }).pipe(virtually, Effect.runPromise)
