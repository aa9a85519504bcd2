import { Effect, Inspectable, Schema } from "effect"
import { shortDuration } from "../../core/internal/duration.js"
import { makeTurns } from "../../core/internal/eventLoop.js"
import { excerptOfDrains } from "../../core/internal/excerpt.js"
import { DrainReport, formatCounts, ShutdownReport } from "../../core/ShutdownReport.js"

const isPresent = (part: string | undefined): part is string => part !== undefined && part !== ""

/** The result of one resource in a line, such as `http Drained in 2s, 3 finished`. */
export const drainLine = (report: DrainReport): string =>
  [
    `${report.name} ${report.outcome} in ${shortDuration(report.elapsed)}`,
    formatCounts(report),
    report.reason,
    report.failure
  ].filter(isPresent).join(", ")

/**
 * The report as a value of a log annotation: an object in JSON, one line in text. Loggers that write text print an object alone,
 * by `inspect` or by `JSON.stringify`, which passes the key `""` then; those that write JSON print it inside of another. Of
 * very many resources it holds an excerpt, because those who collect logs cut lines of a megabyte.
 */
export const loggedReport = (report: ShutdownReport) => {
  const { others, shown } = excerptOfDrains(report.drains)
  const line = [
    `${report.cause}: stopped in ${shortDuration(report.elapsed)} of ${shortDuration(report.gracePeriod)}`,
    ...shown.map(drainLine),
    others,
    report.failure,
    `exit ${report.exitCode}`
  ].filter(isPresent).join("; ")
  const encode = () => ({
    ...Schema.encodeSync(ShutdownReport)(new ShutdownReport({ ...report, drains: shown }, { disableValidation: true })),
    ...(others === "" ? {} : { more: others })
  })
  return {
    toJSON: (...[key]: ReadonlyArray<unknown>) => key === "" ? line : encode(),
    toString: () => line,
    [Inspectable.NodeInspectSymbol]: () => line
  }
}

/** The same text as `toJson`, made in pieces: encoding thousands of resources at once would block the event loop. */
export const reportJson = (report: ShutdownReport): Effect.Effect<string> =>
  Effect.suspend(() => {
    const turns = makeTurns()
    const encode = Schema.encodeSync(DrainReport)
    const head = Schema.encodeSync(ShutdownReport)(
      new ShutdownReport({ ...report, drains: [] }, { disableValidation: true })
    )
    return Effect.map(
      Effect.forEach(report.drains, (drain) => Effect.zipRight(turns, Effect.sync(() => encode(drain)))),
      (drains) => JSON.stringify({ ...head, drains }, null, 2)
    )
  })
