import { Duration, Effect, Logger, LogLevel, Option, Schema } from "effect"
import { Host } from "../../core/Host.js"
import { bounded } from "../../core/internal/bounded.js"
import { shortDuration } from "../../core/internal/duration.js"
import type { Event, Lifecycle, Snapshot } from "../../core/internal/lifecycle.js"
import { type ShutdownConfig, worstCase } from "../../core/ShutdownConfig.js"
import { counts, format, ShutdownReport, toJson } from "../../core/ShutdownReport.js"
import { drawDrain } from "./drawDrain.js"

/** Says that the service runs, and what it stands on that may keep it from stopping well. */
export const announceRunning = (lifecycle: Lifecycle): Effect.Effect<void> =>
  Effect.gen(function*() {
    const host = yield* Host
    const { config } = lifecycle.service
    const { entries } = yield* lifecycle.snapshot
    const bounds = entries.flatMap(({ name, resource }) =>
      Option.toArray(Option.map(resource.drainTimeout, (timeout) => [name, timeout] as const))
    )
    const warnings = [...(yield* host.ground(config.signals)), ...Option.toArray(worstCase(config, bounds))]
    yield* Effect.forEach(warnings, (warning) => Effect.logWarning(warning), { discard: true })
    const delay = Duration.isZero(config.preStopDelay) ? "" : `, after a delay of ${shortDuration(config.preStopDelay)}`
    yield* Effect.logInfo(
      `running; stops within ${shortDuration(config.gracePeriod)} of ${config.signals.join(", ")}${delay}`
    )
  })

const logEvent = (snapshot: Snapshot, { subject, what }: Event): Effect.Effect<void> => {
  const report = Option.getOrUndefined(Option.flatMap(
    Option.fromNullable(snapshot.entries.find((entry) => entry.name === subject)),
    (entry) => entry.report
  ))
  if (report === undefined || what !== report.outcome) {
    return (snapshot.entries.some((entry) => entry.name === subject) ? Effect.logDebug : Effect.logInfo)(
      subject === "app" ? what : `${subject} ${what}`
    )
  }
  const done = [`${subject} ${what} in ${shortDuration(report.elapsed)}`, counts(report), report.reason, report.failure]
  const line = done.filter((part) => part !== undefined && part !== "").join(", ")
  return report.outcome === "Drained" && report.failure === undefined ? Effect.logInfo(line) : Effect.logWarning(line)
}

/** A log line for each event from now on, until the service has stopped. */
const narrateLines = (lifecycle: Lifecycle): Effect.Effect<void> =>
  Effect.suspend(() => {
    let told = 0
    return lifecycle.follow((snapshot) =>
      Effect.gen(function*() {
        for (const event of snapshot.events.slice(told)) if (event.what !== "Running") yield* logEvent(snapshot, event)
        told = snapshot.events.length
        return snapshot.state === "Stopped"
      })
    )
  })

/**
 * Tells how the shutdown goes until the service has stopped: drawn live on a terminal, a line for each event elsewhere.
 * Of a start that failed only what went wrong: the one line that says why must not have to be searched for.
 */
export const narrate = (lifecycle: Lifecycle): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { terminal } = yield* Host
    const { failure, from } = yield* lifecycle.begun
    if (from === "Starting" && Option.isSome(failure)) {
      return yield* Logger.withMinimumLogLevel(narrateLines(lifecycle), LogLevel.Warning)
    }
    yield* Option.isSome(terminal) ? drawDrain(lifecycle, terminal.value) : narrateLines(lifecycle)
  })

/** What keeps it from running, in one line: of the log, or plainly for people on a terminal. */
export const announceFailure = (failure: string): Effect.Effect<void> =>
  Effect.flatMap(
    Host,
    ({ terminal }) =>
      Option.match(terminal, { onNone: () => Effect.logError(failure), onSome: ({ print }) => print(failure) })
  )

/** The report: a timed tree on a terminal, a structured log line elsewhere, and JSON in the file that was asked for. */
export const announceReport = (report: ShutdownReport, config: ShutdownConfig): Effect.Effect<void> =>
  Effect.gen(function*() {
    const host = yield* Host
    if (report.from === "Starting" && report.failure !== undefined) {
      yield* announceFailure(report.failure)
    } else if (Option.isSome(host.terminal)) {
      yield* host.terminal.value.print(format(report, { columns: host.terminal.value.columns }))
    } else {
      yield* (report.exitCode === 0 ? Effect.logInfo("stopped") : Effect.logWarning("stopped")).pipe(
        // As text: loggers of lines would spread an object over many.
        Effect.annotateLogs("report", JSON.stringify(Schema.encodeSync(ShutdownReport)(report)))
      )
    }
    if (Option.isSome(config.reportFile)) {
      const path = config.reportFile.value
      const written = host.writeFile(path, toJson(report)).pipe(
        Effect.catchAllCause((cause) => Effect.logError(`cannot write the report to ${path}`, cause))
      )
      yield* bounded({ within: "1 second" })(written)
    }
  })
