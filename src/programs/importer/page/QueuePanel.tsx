/**
 * The queues: their depth, the pools that run their jobs, and the jobs that have not ended.
 */
import { count, plural } from "./format.js"
import { cancelJob, type JobItem, listJobs, listQueues, pageJobs, type QueueItem, setPaused } from "./jobs.js"
import type { Imports } from "./useImports.js"
import { type Polled, usePolled } from "./usePolled.js"
import { ago } from "./when.js"

interface Listed {
  readonly queue: QueueItem
  readonly jobs: ReadonlyArray<JobItem>
}

const read = async (): Promise<ReadonlyArray<Listed>> =>
  Promise.all((await listQueues()).map(async (queue) => ({ queue, jobs: await listJobs(queue) })))

const labels = { Running: "running", Waiting: "waiting", Delayed: "delayed", Dead: "dead letters" }
const states = ["Running", "Waiting", "Delayed", "Dead"] as const

const doing = ({ attempt, dueAt, run, state }: JobItem): string => {
  const which = attempt > 1 ? `, attempt ${count(attempt)}` : ""
  if (state === "Running") return `runs${run === null || run.since === null ? "" : ` for ${ago(run.since)}`}${which}`
  return state === "Waiting" ? `waits for ${ago(dueAt)}${which}` : `next attempt in ${ago(dueAt)}${which}`
}

const Depth = ({ queue: { jobs } }: { queue: QueueItem }) => (
  <dl class="depth">
    {states.map((state) => (
      <div key={state} data-state={state} data-any={jobs[state].count > 0}>
        <dt>{labels[state]}</dt>
        <dd>{jobs[state].estimated ? "≈ " : ""}{count(jobs[state].count)}</dd>
      </div>
    ))}
  </dl>
)

const pause = ({ paused }: QueueItem["pool"]): string | undefined =>
  paused.includes("Queue")
    ? "Paused in all processes: no job begins."
    : paused.includes("Process")
    ? "Paused in this process: no job begins here."
    : undefined

const work = ({ oldest, pool: { concurrency, condition, inFlight, paused } }: QueueItem): string => {
  if (condition !== "Running" && paused.length === 0) return condition
  const waits = oldest === null ? "" : `, the first job waits for ${ago(oldest)}`
  return `${count(inFlight)} of ${plural(concurrency, "worker")} busy${waits}`
}

interface QueueProps extends Listed {
  readonly act: Polled<unknown>["act"]
  readonly disabled: boolean
  readonly nameOf: (id: string) => string
}

const Queue = ({ act, disabled, jobs, nameOf, queue }: QueueProps) => {
  const { name, pool } = queue
  const paused = pool.paused.includes("Queue")
  // The counts are of another moment than the list.
  const more = jobs.length < pageJobs
    ? 0
    : queue.jobs.Running.count + queue.jobs.Waiting.count + queue.jobs.Delayed.count - jobs.length
  return (
    <li class="queue" data-paused={pool.paused.length > 0}>
      <div class="title">
        <h3>{name}</h3>
        <button
          type="button"
          class="quiet"
          aria-label={`${paused ? "Resume" : "Pause"} ${name}`}
          disabled={disabled}
          onClick={() => void act(() => setPaused(name, !paused))}
        >
          {paused ? "Resume" : "Pause"}
        </button>
      </div>
      <p class="stage" role="status">{pause(pool)}</p>
      <small>{work(queue)}</small>
      <Depth queue={queue} />
      {jobs.length > 0 && (
        <ul class="jobs" aria-label={`Jobs of ${name}`}>
          {jobs.map((job) => (
            <li key={job.id} data-state={job.state}>
              <div>
                <b>{nameOf(job.id)}</b>
                <small>{doing(job)}{job.state === "Delayed" && job.error !== null ? `: ${job.error}` : ""}</small>
              </div>
              <button
                type="button"
                class="quiet danger"
                aria-label={`Cancel the job of ${nameOf(job.id)}`}
                disabled={disabled}
                onClick={() => void act(() => cancelJob(name, job.id))}
              >
                Cancel
              </button>
            </li>
          ))}
        </ul>
      )}
      {more > 0 && <p class="hint">and {count(more)} more</p>}
    </li>
  )
}

interface Props {
  readonly imports: Imports
  readonly returns: number
  /** Whether the service stops, or does not answer. */
  readonly stopping: boolean
}

export const QueuePanel = ({ imports, returns, stopping }: Props) => {
  const { act, error, value } = usePolled(read, returns)
  // The id of a job is that of its import.
  const nameOf = (id: string) => imports.list?.find(({ item }) => item.id === id)?.item.name ?? id
  const changed = (action: () => Promise<unknown>) => act(action).then(imports.refresh)
  return (
    <section class={stopping ? "card stale" : "card"} aria-labelledby="queues">
      <h2 id="queues">Queues</h2>
      {error !== undefined && !stopping && <p class="error" role="alert">{error}</p>}
      {value === undefined
        ? error === undefined && <p class="empty">Loading …</p>
        : (
          <ul class="queues">
            {value.map((listed) => (
              <Queue key={listed.queue.name} {...listed} act={changed} disabled={stopping} nameOf={nameOf} />
            ))}
          </ul>
        )}
      {stopping && value !== undefined && <p class="hint">As of the last response.</p>}
    </section>
  )
}
