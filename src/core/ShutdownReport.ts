/**
 * The result of a shutdown: data, and its text form.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { ShutdownReport } from "lastcall"
 *
 * // Reads a file that was written through `reportFile`, and shows it as a terminal does.
 * const show = (json: string) =>
 *   ShutdownReport.format(Schema.decodeSync(Schema.parseJson(ShutdownReport.ShutdownReport))(json))
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { Duration, Schema } from "effect"
import { shortDuration } from "./internal/duration.js"
import { excerptOfDrains } from "./internal/excerpt.js"
import { cutAt, oneLine, padTo, textWidth, wrapAt } from "./internal/textWidth.js"

/**
 * The state of a launched service.
 *
 * - `Starting`: its layer is being built.
 * - `Running`: its layer is built.
 * - `LameDuck`: a shutdown was requested; it still accepts and serves, for `preStopDelay`.
 * - `Draining`: its scope is being closed.
 * - `Stopped`: its scope is closed, or was abandoned at the deadline.
 *
 * @since 0.1.0
 * @category models
 */
export const LifecycleState = Schema.Literal("Starting", "Running", "LameDuck", "Draining", "Stopped")

/**
 * The state of a launched service.
 *
 * @since 0.1.0
 * @category models
 */
export type LifecycleState = typeof LifecycleState.Type

/**
 * How the release of one resource ended.
 *
 * - `Drained`: the work in flight ended by itself.
 * - `Interrupted`: the rest of the work was interrupted, and its finalizers have run.
 * - `Abandoned`: work ignored its interruption, or a release exceeded its bound. It may go on until the process exits.
 *
 * @since 0.1.0
 * @category models
 */
export const Outcome = Schema.Literal("Drained", "Interrupted", "Abandoned")

/**
 * How the release of one resource ended.
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome = typeof Outcome.Type

/**
 * The result of one resource. Durations are encoded as milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export class DrainReport extends Schema.Class<DrainReport>("lastcall/DrainReport")({
  /** The name of the resource. */
  name: Schema.String,
  /** How its release ended. */
  outcome: Outcome,
  /** When its release began, counted from the request of the shutdown. */
  started: Schema.DurationFromMillis,
  /** How long its release took. */
  elapsed: Schema.DurationFromMillis,
  /** Units of work that ended by themselves since the resource was quiesced. */
  finished: Schema.Int,
  /** Units of work that were handed back since then, for another process to run. */
  handedBack: Schema.Int,
  /**
   * Units of work that were interrupted or abandoned since then. A resource that does not count its work and could not
   * drain counts as one.
   */
  cut: Schema.Int,
  /** Which step exceeded its bound or was expedited; absent if none. */
  reason: Schema.optionalWith(Schema.String, { exact: true }),
  /** The first step that failed or died, and its message; absent if none. */
  failure: Schema.optionalWith(Schema.String, { exact: true })
}) {}

/**
 * The result of a whole shutdown. Durations are encoded as milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export class ShutdownReport extends Schema.Class<ShutdownReport>("lastcall/ShutdownReport")({
  /**
   * What requested the shutdown: the name of a signal, the reason that was given to `Shutdown.begin`, `"interrupted"`,
   * `"uncaught error"`, or `"failed to start"`.
   */
  cause: Schema.String,
  /** The state in which it was requested. */
  from: LifecycleState,
  /** Each signal that was received, duplicates included. */
  signals: Schema.Array(Schema.String),
  /** Whether a second signal stopped the drains from waiting. */
  expedited: Schema.Boolean,
  /** The time that the shutdown had. */
  gracePeriod: Schema.DurationFromMillis,
  /** The part of it in which the service still accepted. */
  preStopDelay: Schema.DurationFromMillis,
  /** The time from the request to `Stopped`. */
  elapsed: Schema.DurationFromMillis,
  /** The resources, in the order in which their releases began. */
  drains: Schema.Array(DrainReport),
  /** What failed: the start, an uncaught error, a component, or a finalizer outside of any `Drain`. */
  failure: Schema.optionalWith(Schema.String, { exact: true }),
  /** The exit code of the process. */
  exitCode: Schema.Int
}) {}

/**
 * The exit code: 0 when no work was cut or abandoned and nothing failed, otherwise 1. Work that was handed back is not
 * lost, and leaves it at 0.
 *
 * @since 0.1.0
 * @category getters
 */
export const exitCode = (report: {
  readonly drains: ReadonlyArray<DrainReport>
  readonly failure?: string | undefined
}): number =>
  report.failure === undefined &&
    report.drains.every((drain) => drain.outcome !== "Abandoned" && drain.cut === 0 && drain.failure === undefined)
    ? 0
    : 1

/**
 * Makes the report. Orders `drains`, given in the order of acquisition, by the start of their release; those that started
 * together in reverse order of acquisition. Computes the exit code.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (fields: Omit<ConstructorParameters<typeof ShutdownReport>[0], "exitCode">): ShutdownReport =>
  new ShutdownReport({
    ...fields,
    drains: fields.drains.toReversed().sort((a, b) => Duration.toMillis(a.started) - Duration.toMillis(b.started)),
    exitCode: exitCode(fields)
  })

/**
 * The work of a resource in words, such as `3 finished, 1 cut`; empty if it had none.
 *
 * @since 0.1.0
 * @category destructors
 */
export const formatCounts = (report: Pick<DrainReport, "finished" | "handedBack" | "cut">): string =>
  [
    report.finished > 0 ? `${report.finished} finished` : "",
    report.handedBack > 0 ? `${report.handedBack} handed back` : "",
    report.cut > 0 ? `${report.cut} cut` : ""
  ].filter((part) => part !== "").join(", ")

/** In columns. Narrow terminals get short bars, so that the text after them fits. */
const barWidths = { least: 4, most: 24 }

/** In columns. A name is cut when it, or the notes beside it, would have less room. */
const leastName = 8
const leastNote = 24

const bar = (entry: DrainReport, total: number, barWidth: number): string => {
  const scale = (duration: Duration.Duration) => total === 0 ? 0 : (Duration.toMillis(duration) / total) * barWidth
  const from = Math.min(barWidth - 1, Math.floor(scale(entry.started)))
  const length = Math.max(1, Math.min(barWidth - from, Math.round(scale(entry.elapsed))))
  return " ".repeat(from) + "━".repeat(length) + " ".repeat(barWidth - from - length)
}

/**
 * The report as a timed tree: a line for each resource, with a bar that places its release on a common time line, and under
 * it why it is not clean. Names are cut and reasons continue on the next line where `columns`, 80 by default, are too few. Of
 * more than `maxDrains` resources, 50 by default because a person reads it, those that were cut, not clean or slow are shown,
 * and the others counted.
 *
 * @since 0.1.0
 * @category destructors
 */
export const format = (
  report: ShutdownReport,
  options?: { readonly columns?: number; readonly maxDrains?: number }
): string => {
  const columns = options?.columns ?? 80
  const total = Duration.toMillis(report.elapsed)
  const { others, shown } = excerptOfDrains(report.drains, options?.maxDrains)
  const ending = (drain: DrainReport) =>
    `${shortDuration(drain.elapsed).padStart(6)}  ${drain.outcome} ${formatCounts(drain)}`.trimEnd()
  // Three columns for the branch, and a space on each side of the bar.
  const beside = columns - 5 - Math.max(0, ...shown.map((drain) => ending(drain).length))
  const names = shown.map((drain) => oneLine(drain.name))
  const longest = Math.max(4, ...names.map(textWidth))
  const width = Math.min(longest, Math.max(leastName, Math.min(beside - barWidths.least, columns - 4 - leastNote)))
  const barWidth = Math.max(barWidths.least, Math.min(barWidths.most, beside - width))
  const more = others === "" ? [] : [`└─ … and ${others}`]
  const lines = shown.flatMap((drain, index) => {
    const last = index === shown.length - 1 && more.length === 0
    const notes = [drain.reason, drain.failure].filter((note) => note !== undefined).flatMap((note) =>
      wrapAt(oneLine(note), columns - 4 - width)
    )
    return [
      `${last ? "└─" : "├─"} ${padTo(names[index]!, width)} ${bar(drain, total, barWidth)} ${ending(drain)}`,
      ...notes.map((note) => `${last ? "  " : "│ "} ${" ".repeat(width)} ${note}`)
    ]
  })
  const ofAll = `${report.cause}: stopped in ${shortDuration(report.elapsed)} of ${shortDuration(report.gracePeriod)}`
  return [
    ...wrapAt(oneLine(`${ofAll}${report.expedited ? ", expedited" : ""}`), columns),
    ...lines.map((line) => cutAt(line, columns)),
    ...more.flatMap((line) => wrapAt(line, columns)),
    ...(report.failure === undefined ? [] : wrapAt(oneLine(report.failure), columns)),
    `exit ${report.exitCode}`
  ].join("\n")
}

/**
 * The report as indented JSON, durations in milliseconds. Decode it with the schema `ShutdownReport`.
 *
 * @since 0.1.0
 * @category destructors
 */
export const toJson = (report: ShutdownReport): string =>
  JSON.stringify(Schema.encodeSync(ShutdownReport)(report), null, 2)
