import { Duration } from "effect"
import type { DrainReport, ShutdownReport } from "../ShutdownReport.js"

/** `250ms`, `1.2s`, `2m 5s`: short, and never more precise than a reader needs. */
export const shortDuration = (duration: Duration.Duration): string => {
  const millis = Math.round(Duration.toMillis(duration))
  if (!Number.isFinite(millis)) return "unlimited"
  if (millis < 1000) return `${millis}ms`
  if (millis < 60_000) return `${(millis / 1000).toFixed(1).replace(/\.0$/, "")}s`
  const seconds = Math.round(millis / 1000)
  return seconds % 60 === 0 ? `${seconds / 60}m` : `${Math.floor(seconds / 60)}m ${seconds % 60}s`
}

export const counts = (entry: { readonly finished: number; readonly handedBack: number; readonly cut: number }) =>
  [
    entry.finished > 0 ? `${entry.finished} finished` : "",
    entry.handedBack > 0 ? `${entry.handedBack} handed back` : "",
    entry.cut > 0 ? `${entry.cut} cut` : ""
  ].filter((part) => part !== "").join(", ")

/** As wide as there is room for, so that what is said after it is not cut off. */
const barWidths = { least: 4, most: 24 }

const bar = (entry: DrainReport, total: number, barWidth: number): string => {
  const scale = (duration: Duration.Duration) => total === 0 ? 0 : (Duration.toMillis(duration) / total) * barWidth
  const from = Math.min(barWidth - 1, Math.floor(scale(entry.started)))
  const length = Math.max(1, Math.min(barWidth - from, Math.round(scale(entry.elapsed))))
  return " ".repeat(from) + "━".repeat(length) + " ".repeat(barWidth - from - length)
}

/** See `ShutdownReport.format`. */
export const renderReport = (report: ShutdownReport, options?: { readonly columns?: number }): string => {
  const columns = options?.columns ?? 80
  const total = Duration.toMillis(report.elapsed)
  const width = Math.max(4, ...report.drains.map((drain) => drain.name.length))
  const ending = (drain: DrainReport) =>
    `${shortDuration(drain.elapsed).padStart(6)}  ${drain.outcome} ${counts(drain)}`.trimEnd()
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
