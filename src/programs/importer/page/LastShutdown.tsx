/**
 * The report of the last shutdown, as a timeline.
 */
import { useEffect, useState } from "preact/hooks"
import { lastShutdown, messageOf, type Shutdown } from "./api.js"
import { clockTime, duration } from "./format.js"

type Report = NonNullable<Shutdown["last"]>["report"]
type Drain = Report["drains"][number]

const counts = ({ cut, finished, handedBack }: Drain): string =>
  [
    finished > 0 ? `${finished} finished` : "",
    handedBack > 0 ? `${handedBack} handed back` : "",
    cut > 0 ? `${cut} cut` : ""
  ].filter((part) => part !== "").join(", ")

const percent = (part: number, whole: number) => whole === 0 ? 0 : Math.min(100, (part / whole) * 100)

const Bar = ({ drain: { elapsed, started }, total }: { drain: Drain; total: number }) => {
  const width = Math.max(1.5, percent(elapsed, total))
  return (
    <svg class="track" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
      <rect class="all" width="100" height="4" />
      <rect class="part" x={Math.min(100 - width, percent(started, total))} width={width} height="4" />
    </svg>
  )
}

const Timeline = ({ endedAt, report }: { endedAt: string; report: Report }) => (
  <>
    <p class="verdict" data-exit={report.exitCode}>
      <b>{report.cause}</b>: stopped in <b>{duration(report.elapsed)}</b> of {duration(report.gracePeriod)}
      {report.expedited ? ", expedited" : ""}, <span>exit {report.exitCode}</span>
    </p>
    <ol class="timeline">
      {report.drains.map((drain) => (
        <li key={drain.name} data-outcome={drain.outcome}>
          <div>
            <b>{drain.name}</b>
            <span>{drain.outcome} · {duration(drain.elapsed)}</span>
          </div>
          <Bar drain={drain} total={report.elapsed} />
          <small>{[counts(drain), drain.reason, drain.failure].filter((note) => note).join("; ")}</small>
        </li>
      ))}
    </ol>
    {report.failure !== undefined && <p class="error">{report.failure}</p>}
    <p class="hint">
      <time dateTime={endedAt}>{clockTime(endedAt)}</time>
    </p>
  </>
)

export const LastShutdown = ({ returns }: { returns: number }) => {
  const [found, setFound] = useState<Shutdown>()
  const [error, setError] = useState<string>()
  useEffect(() => {
    lastShutdown().then(setFound, (error) => setError(messageOf(error)))
  }, [returns])
  return (
    <section class="card" aria-labelledby="last-shutdown">
      <h2 id="last-shutdown">Last shutdown</h2>
      {found === undefined
        ? <p class={error === undefined ? "empty" : "error"}>{error ?? "Loading …"}</p>
        : found.last !== null
        ? <Timeline {...found.last} />
        : (
          <p class="empty">
            {found.kept
              ? "None yet. Press Ctrl+C where the service runs, start it again, and its report is here."
              : "No report is kept. Set SHUTDOWN_REPORT to the path of a file."}
          </p>
        )}
    </section>
  )
}
