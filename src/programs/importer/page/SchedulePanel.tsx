/**
 * What the service runs by the clock.
 */
import { clockTime } from "./format.js"
import { listSchedules, operate, type ScheduleItem } from "./jobs.js"
import { type Polled, usePolled } from "./usePolled.js"
import { ago } from "./when.js"

const details: { readonly [name: string]: string } = {
  "orphan-cleanup": "deletes uploads whose process has died, and marks imports whose job is dead"
}

const next = ({ nextRunAt, state }: ScheduleItem): string =>
  nextRunAt === null || state !== "Waiting"
    ? state
    : Date.parse(nextRunAt) <= Date.now()
    ? "now"
    : `in ${ago(nextRunAt)}`

interface ItemProps {
  readonly item: ScheduleItem
  readonly act: Polled<unknown>["act"]
  readonly disabled: boolean
}

const Item = ({ act, disabled, item }: ItemProps) => {
  const { lastRun, name, state } = item
  const failed = lastRun?.state === "Failed"
  const paused = state === "Paused"
  return (
    <li class="queue" data-failed={failed} data-paused={paused}>
      <div class="title">
        <h3>{name}</h3>
        <div class="actions">
          <button
            type="button"
            class="quiet"
            aria-label={`${paused ? "Resume" : "Pause"} ${name}`}
            disabled={disabled}
            onClick={() => void act(() => operate(name, paused ? "resume" : "pause"))}
          >
            {paused ? "Resume" : "Pause"}
          </button>
          <button
            type="button"
            class="quiet"
            aria-label={`Run now: ${name}`}
            disabled={disabled}
            onClick={() => void act(() => operate(name, "run"))}
          >
            Run now
          </button>
        </div>
      </div>
      {details[name] !== undefined && <small>{details[name]}</small>}
      <dl class="times">
        <dt>Next run</dt>
        <dd>{next(item)}</dd>
        <dt>Last run</dt>
        <dd>
          {lastRun === null
            ? "none yet"
            : (
              <time dateTime={lastRun.at} title={clockTime(lastRun.at)}>
                {ago(lastRun.at)} ago{failed ? ", failed" : ""}
              </time>
            )}
        </dd>
      </dl>
    </li>
  )
}

interface Props {
  readonly returns: number
  /** Whether the service stops, or does not answer. */
  readonly stopping: boolean
}

export const SchedulePanel = ({ returns, stopping }: Props) => {
  const { act, error, value } = usePolled(listSchedules, returns)
  return (
    <section class={stopping ? "card stale" : "card"} aria-labelledby="schedule">
      <h2 id="schedule">Schedule</h2>
      {error !== undefined && !stopping && <p class="error" role="alert">{error}</p>}
      {value === undefined
        ? error === undefined && <p class="empty">Loading …</p>
        : value.length === 0
        ? <p class="empty">Nothing is scheduled.</p>
        : (
          <ul class="queues">
            {value.map((item) => <Item key={item.name} item={item} act={act} disabled={stopping} />)}
          </ul>
        )}
    </section>
  )
}
