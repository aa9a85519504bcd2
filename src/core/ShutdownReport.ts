/**
 * What a shutdown came to: data, and its text form.
 *
 * @since 0.1.0
 */
import { Duration, Schema } from "effect"
import { shortDuration } from "./internal/duration.js"

/**
 * Where a launched service is: `Starting`, `Running`, `LameDuck` (told to stop, still serving), `Draining` (releasing
 * its scopes), `Stopped`.
 *
 * @since 0.1.0
 * @category models
 */
export const LifecycleState = Schema.Literal("Starting", "Running", "LameDuck", "Draining", "Stopped")

/**
 * @since 0.1.0
 * @category models
 */
export type LifecycleState = typeof LifecycleState.Type

/**
 * How the shutdown of one resource ended.
 *
 * - `Drained`: what was in flight finished by itself.
 * - `Interrupted`: the rest was interrupted, and its finalizers ran to their end.
 * - `Abandoned`: something ignored its interruption, or a release did not end in time; it was left behind.
 *
 * @since 0.1.0
 * @category models
 */
export const Outcome = Schema.Literal("Drained", "Interrupted", "Abandoned")

/**
 * @since 0.1.0
 * @category models
 */
export type Outcome = typeof Outcome.Type

/**
 * What became of one resource. `started` counts from the beginning of the shutdown. `finished`, `handedBack` and `cut`
 * count units of work since the resource was quiesced; a resource that does not count its work and could not drain
 * counts itself as one that was cut. Durations are encoded as milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export class DrainReport extends Schema.Class<DrainReport>("lastcall/DrainReport")({
  name: Schema.String,
  outcome: Outcome,
  started: Schema.DurationFromMillis,
  elapsed: Schema.DurationFromMillis,
  finished: Schema.Int,
  handedBack: Schema.Int,
  cut: Schema.Int,
  /** Why it did not drain; absent when it did. */
  reason: Schema.optionalWith(Schema.String, { exact: true }),
  /** A quiesce, drain, interrupt or release that failed or died, and its message. */
  failure: Schema.optionalWith(Schema.String, { exact: true })
}) {}

/**
 * The report of a whole shutdown. `cause` says what began it: a signal's name, `"begin"`, or what failed.
 *
 * @since 0.1.0
 * @category models
 */
export class ShutdownReport extends Schema.Class<ShutdownReport>("lastcall/ShutdownReport")({
  cause: Schema.String,
  /** The state in which the shutdown began: a service can be told to stop while it starts. */
  from: LifecycleState,
  signals: Schema.Array(Schema.String),
  expedited: Schema.Boolean,
  gracePeriod: Schema.DurationFromMillis,
  preStopDelay: Schema.DurationFromMillis,
  elapsed: Schema.DurationFromMillis,
  drains: Schema.Array(DrainReport),
  /** Why the service ended by itself, or what failed while it started or ran. */
  failure: Schema.optionalWith(Schema.String, { exact: true }),
  exitCode: Schema.Int
}) {}

/**
 * 0 when nothing was cut, abandoned or failed, 1 otherwise. Work that was handed back in good order is no failure.
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

/** As wide as there is room for, so that what is said after it is not cut off. */
const barWidths = { least: 4, most: 24 }

const bar = (entry: DrainReport, total: number, barWidth: number): string => {
  const scale = (duration: Duration.Duration) => total === 0 ? 0 : (Duration.toMillis(duration) / total) * barWidth
  const from = Math.min(barWidth - 1, Math.floor(scale(entry.started)))
  const length = Math.max(1, Math.min(barWidth - from, Math.round(scale(entry.elapsed))))
  return " ".repeat(from) + "━".repeat(length) + " ".repeat(barWidth - from - length)
}

/**
 * The report as a timed tree: a line for each resource, with a bar that shows when it stopped on a common time line.
 * At most `columns` wide (80 by default).
 *
 * @since 0.1.0
 * @category destructors
 */
export const format = (report: ShutdownReport, options?: { readonly columns?: number }): string => {
  const columns = options?.columns ?? 80
  const total = Duration.toMillis(report.elapsed)
  const width = Math.max(4, ...report.drains.map((drain) => drain.name.length))
  const ending = (drain: DrainReport) =>
    `${shortDuration(drain.elapsed).padStart(6)}  ${drain.outcome} ${formatCounts(drain)}`.trimEnd()
  const room = columns - width - 5 - Math.max(0, ...report.drains.map((drain) => ending(drain).length))
  const barWidth = Math.max(barWidths.least, Math.min(barWidths.most, room))
  const lines = report.drains.flatMap((drain, index) => {
    const last = index === report.drains.length - 1
    const notes = [drain.reason, drain.failure].filter((note) => note !== undefined)
    return [
      `${last ? "└─" : "├─"} ${drain.name.padEnd(width)} ${bar(drain, total, barWidth)} ${ending(drain)}`,
      ...notes.map((note) => `${last ? "  " : "│ "} ${" ".repeat(width)} ${note}`)
    ]
  })
  return [
    `${report.cause}: stopped in ${shortDuration(report.elapsed)} of ${shortDuration(report.gracePeriod)}${
      report.expedited ? ", expedited" : ""
    }`,
    ...lines,
    ...(report.failure === undefined ? [] : [report.failure]),
    `exit ${report.exitCode}`
  ].map((line) => line.length > columns ? `${line.slice(0, columns - 1)}…` : line).join("\n")
}

/**
 * The report as JSON text, durations in milliseconds.
 *
 * @since 0.1.0
 * @category destructors
 */
export const toJson = (report: ShutdownReport): string =>
  JSON.stringify(Schema.encodeSync(ShutdownReport)(report), null, 2)
