/**
 * What the service runs by the clock.
 */
import { clockTime } from "./format.js"
import { listTasks, runTask, type TaskItem } from "./jobs.js"
import { type Polled, usePolled } from "./usePolled.js"
import { ago } from "./when.js"

const details: { readonly [name: string]: string } = {
  "orphan-cleanup": "deletes uploads whose process has died, and marks imports whose job is dead"
}

const next = ({ nextRunAt, state }: TaskItem): string =>
  nextRunAt === null || state !== "Waiting"
    ? state
    : Date.parse(nextRunAt) <= Date.now()
    ? "now"
    : `in ${ago(nextRunAt)}`

interface TaskProps {
  readonly task: TaskItem
  readonly act: Polled<unknown>["act"]
  readonly disabled: boolean
}

const Task = ({ act, disabled, task }: TaskProps) => {
  const { lastRun, name } = task
  return (
    <li class="queue" data-failed={lastRun?.failed ?? false}>
      <div class="title">
        <h3>{name}</h3>
        <button
          type="button"
          class="quiet"
          aria-label={`Run now: ${name}`}
          disabled={disabled}
          onClick={() => void act(() => runTask(name))}
        >
          Run now
        </button>
      </div>
      {details[name] !== undefined && <small>{details[name]}</small>}
      <dl class="times">
        <dt>Next run</dt>
        <dd>{next(task)}</dd>
        <dt>Last run</dt>
        <dd>
          {lastRun === null
            ? "none yet"
            : (
              <time dateTime={lastRun.endedAt} title={clockTime(lastRun.endedAt)}>
                {ago(lastRun.endedAt)} ago{lastRun.failed ? ", failed" : ""}
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
  const { act, error, value } = usePolled(listTasks, returns)
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
            {value.map((task) => <Task key={task.name} task={task} act={act} disabled={stopping} />)}
          </ul>
        )}
    </section>
  )
}
