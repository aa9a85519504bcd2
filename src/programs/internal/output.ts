import { Duration, Effect, FiberRef, LogLevel, Option, Order } from "effect"
import { Host, type Terminal } from "../../core/Host.js"
import { bounded } from "../../core/internal/bounded.js"
import { checkSequence } from "../../core/internal/budget.js"
import { shortDuration } from "../../core/internal/duration.js"
import { countOthers, excerpt, mostDrains } from "../../core/internal/excerpt.js"
import { oneLine, padTo, textWidth } from "../../core/internal/textWidth.js"
import type { Event, Lifecycle, Snapshot } from "../../core/Lifecycle.js"
import type { Resource, Stage } from "../../core/Shutdown.js"
import { format, type ShutdownReport } from "../../core/ShutdownReport.js"
import { drainLine, loggedReport, reportJson } from "./reportLine.js"

/** Logs that the service runs, and warns of what may keep it from a clean shutdown. */
export const logRunning = (lifecycle: Lifecycle): Effect.Effect<void> =>
  Effect.gen(function*() {
    const host = yield* Host
    const { config } = lifecycle.shutdown
    const { resources } = yield* lifecycle.snapshot
    const timeouts = resources.toReversed().flatMap(({ drainTimeout, name }) =>
      Option.toArray(Option.map(drainTimeout, (timeout) => [name, timeout] as const))
    )
    const warnings = [
      ...(yield* host.environmentWarnings(config.signals)),
      ...Option.toArray(checkSequence(config, timeouts))
    ]
    yield* Effect.forEach(warnings, (warning) => Effect.logWarning(warning), { discard: true })
    const delay = Duration.isZero(config.preStopDelay) ? "" : `, after a delay of ${shortDuration(config.preStopDelay)}`
    yield* Effect.logInfo(
      `running; stops within ${shortDuration(config.gracePeriod)} of ${config.signals.join(", ")}${delay}`
    )
  })

const logEvent = ({ _tag, subject, what }: Event, resource: Option.Option<Resource>): Effect.Effect<void> => {
  const report = Option.getOrUndefined(Option.flatMap(resource, ({ report }) => report))
  if (report === undefined) {
    return (_tag === "Resource" ? Effect.logDebug : Effect.logInfo)(_tag === "App" ? what : `${subject} ${what}`)
  }
  const line = drainLine(report)
  return report.outcome === "Drained" && report.failure === undefined ? Effect.logInfo(line) : Effect.logWarning(line)
}

const isDrained = (resource: Option.Option<Resource>): boolean =>
  Option.exists(
    Option.flatMap(resource, ({ report }) => report),
    ({ failure, outcome }) => outcome === "Drained" && failure === undefined
  )

/** Logs each event of the journal until the service has stopped. */
const logEvents = (lifecycle: Lifecycle): Effect.Effect<void> =>
  Effect.suspend(() => {
    let drained = 0
    return lifecycle.follow(({ event, resource, state }) => {
      if (Option.isSome(event) && isDrained(resource)) drained++
      const counted = drained - mostDrains
      const lines = Option.match(Option.filter(event, ({ _tag, what }) => _tag !== "App" || what !== "Running"), {
        onNone: () => Effect.void,
        onSome: (event) => counted > 0 && isDrained(resource) ? Effect.void : logEvent(event, resource)
      })
      if (state !== "Stopped") return Effect.as(lines, false)
      const more = counted > 0 ? Effect.logInfo(`${counted} more Drained`) : Effect.void
      return Effect.as(Effect.zipRight(more, lines), true)
    })
  })

const marks: Record<Stage, string> = {
  open: "○",
  quiesced: "◔",
  draining: "◑",
  interrupting: "◕",
  releasing: "◕",
  closed: "●"
}

const statusOf = (resource: Resource): string => {
  const { inFlight } = resource.progress()
  return Option.match(resource.report, {
    onNone: () => inFlight === 0 ? resource.stage : `${resource.stage.padEnd(13)}${inFlight} in flight`,
    onSome: (report) => `${report.outcome.padEnd(13)}${shortDuration(report.elapsed)}`
  })
}

/** A line for each resource. Where there is little room the names are cut, down to this, and not what follows them. */
const leastName = 8
const resourceLines = (resources: ReadonlyArray<Resource>, columns: number): ReadonlyArray<string> => {
  const lines = resources.map((resource) => ({
    mark: marks[resource.stage],
    name: oneLine(resource.name),
    status: statusOf(resource)
  }))
  // A mark between spaces, two spaces before the status, and the last column, which stays empty.
  const room = columns - 7 - Math.max(0, ...lines.map(({ status }) => status.length))
  const width = Math.min(Math.max(leastName, room), Math.max(0, ...lines.map(({ name }) => textWidth(name))))
  return lines.map(({ mark, name, status }) => `  ${mark} ${padTo(name, width)}  ${status}`)
}

/** What is being released comes first, then what did not end well, then what is still to be released. */
const rankOfResource = (resource: Resource): number =>
  resource.stage !== "open" && resource.stage !== "closed"
    ? 3
    : resource.stage === "open"
    ? 1
    : isDrained(Option.some(resource))
    ? 0
    : 2

/** The cause and the time that remains, then the resources in the order of their release, as many as have room. */
const shutdownFrame = (
  snapshot: Snapshot,
  remaining: Duration.Duration,
  { columns, rows }: { readonly columns: number; readonly rows: number }
): string => {
  // Three lines are for the cause, for the number of the others, and for the cursor.
  const { others, shown } = excerpt(snapshot.resources.toReversed(), Math.max(1, rows - 3), rankOfResource)
  const reason = Option.match(snapshot.request, { onNone: () => "", onSome: ({ reason }) => oneLine(reason) })
  const state = snapshot.state === "LameDuck" ? "still serving" : "draining"
  // Always with tenths: a text whose width changes flickers.
  const left = `${(Duration.toMillis(remaining) / 1000).toFixed(1)}s left`
  const hint = snapshot.expedited ? "not waiting any more" : "once more: stop waiting"
  const status = ({ report, stage }: Resource) =>
    Option.match(report, { onNone: () => stage, onSome: (_) => _.outcome })
  return [
    `${reason}: ${state}, ${left}  (${hint})`,
    ...resourceLines(shown, columns),
    ...(others.length === 0 ? [] : [`  … and ${countOthers(others.map(status))}`])
  ].join("\n")
}

/**
 * Shows the shutdown on the terminal until the service has stopped. It is drawn ten times a second, and less often where that
 * takes long: writing to a slow terminal blocks the event loop, which has to drain.
 */
export const drawShutdown = (lifecycle: Lifecycle, terminal: Terminal): Effect.Effect<void> =>
  Effect.scoped(Effect.gen(function*() {
    // The terminal has echoed ^C on the line of the cursor.
    yield* terminal.print("")
    if (Option.isNone(terminal.liveRegion)) return yield* logEvents(lifecycle)
    const draw = yield* terminal.liveRegion.value
    const drawFrame = Effect.flatMap(
      Effect.zip(lifecycle.snapshot, lifecycle.shutdown.remaining),
      ([snapshot, remaining]) => draw(shutdownFrame(snapshot, remaining, terminal))
    )
    const drawAndPause = Effect.flatMap(
      Effect.timed(drawFrame),
      ([took]) => Effect.sleep(Duration.max("100 millis", Duration.times(took, 9)))
    )
    const stopped = lifecycle.follow(({ state }) => Effect.succeed(state === "Stopped"))
    yield* Effect.raceFirst(Effect.forever(drawAndPause), stopped)
    yield* drawFrame
  }))

const atLeastWarning = Order.max(LogLevel.Order)(LogLevel.Warning)

/**
 * Shows the shutdown until the service has stopped: drawn on a terminal that can, a log line for each event elsewhere. After a
 * failed start only warnings, so that the line that says why is easy to find.
 */
export const showShutdown = (lifecycle: Lifecycle): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { terminal } = yield* Host
    const { failure, from } = yield* lifecycle.requested
    if (from === "Starting" && Option.isSome(failure)) {
      return yield* Effect.locallyWith(logEvents(lifecycle), FiberRef.currentMinimumLogLevel, atLeastWarning)
    }
    yield* Option.isSome(terminal) ? drawShutdown(lifecycle, terminal.value) : logEvents(lifecycle)
  })

/** Prints on a terminal, or logs elsewhere, in one line why the service cannot start. */
export const printFailure = (failure: string): Effect.Effect<void> =>
  Effect.flatMap(
    Host,
    ({ terminal }) =>
      Option.match(terminal, { onNone: () => Effect.logError(failure), onSome: ({ print }) => print(failure) })
  )

/**
 * The report: a timed tree on a terminal, a structured log line elsewhere, and JSON in the file. After a failed start
 * only the file: the failure was printed when it happened.
 */
export const publishReport = (report: ShutdownReport, file: Option.Option<string>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { terminal, writeFile } = yield* Host
    const failedStart = report.from === "Starting" && report.cause === "failed to start"
    if (!failedStart && Option.isSome(terminal)) {
      yield* terminal.value.print(format(report, { columns: terminal.value.columns }))
    } else if (!failedStart) {
      yield* (report.exitCode === 0 ? Effect.logInfo("stopped") : Effect.logWarning("stopped")).pipe(
        Effect.annotateLogs("report", loggedReport(report))
      )
    }
    if (Option.isSome(file)) {
      const path = file.value
      const written = writeFile(path, yield* reportJson(report)).pipe(
        Effect.catchAllCause((cause) => Effect.logError(`cannot write the report to ${path}`, cause))
      )
      yield* bounded({ within: "1 second" })(written)
    }
  })
