import { Inspectable, Schema } from "effect"
import { shortDuration } from "../../core/internal/duration.js"
import { type DrainReport, formatCounts, ShutdownReport } from "../../core/ShutdownReport.js"

const isPresent = (part: string | undefined): part is string => part !== undefined && part !== ""

/** The result of one resource in a line, such as `http Drained in 2s, 3 finished`. */
export const drainLine = (report: DrainReport): string =>
  [
    `${report.name} ${report.outcome} in ${shortDuration(report.elapsed)}`,
    formatCounts(report),
    report.reason,
    report.failure
  ].filter(isPresent).join(", ")

const reportLine = (report: ShutdownReport): string =>
  [
    `${report.cause}: stopped in ${shortDuration(report.elapsed)} of ${shortDuration(report.gracePeriod)}`,
    ...report.drains.map(drainLine),
    report.failure,
    `exit ${report.exitCode}`
  ].filter(isPresent).join("; ")

/**
 * The report as a value of a log annotation: an object in JSON, one line in text. Loggers that write text print an object alone,
 * by `inspect` or by `JSON.stringify`, which passes the key `""` then; those that write JSON print it inside of another.
 */
export const loggedReport = (report: ShutdownReport) => {
  const line = reportLine(report)
  return {
    toJSON: (...[key]: ReadonlyArray<unknown>) => key === "" ? line : Schema.encodeSync(ShutdownReport)(report),
    toString: () => line,
    [Inspectable.NodeInspectSymbol]: () => line
  }
}
