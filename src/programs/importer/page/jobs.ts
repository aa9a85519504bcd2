/**
 * The client of the consoles of jobs and of schedules: what a page needs of their responses.
 */
import { get, send } from "./api.js"

type JobState = "Waiting" | "Delayed" | "Running" | "Dead"

export interface QueueItem {
  readonly name: string
  readonly jobs: { readonly [S in JobState]: { readonly count: number; readonly estimated: boolean } }
  /** Since when the job that waits longest has been available. */
  readonly oldest: string | null
  readonly pool: {
    readonly condition: string
    readonly concurrency: number
    readonly inFlight: number
    readonly paused: ReadonlyArray<"Queue" | "Process">
  }
}

export interface JobItem {
  readonly id: string
  readonly state: JobState
  readonly attempt: number
  readonly dueAt: string
  readonly run: { readonly by: string | null; readonly since: string | null } | null
  readonly error: string | null
}

export interface ScheduleItem {
  readonly name: string
  readonly state: "Waiting" | "Running" | "Paused" | "Ended" | "Crashed" | "Stopped"
  readonly nextRunAt: string | null
  readonly lastRun: { readonly at: string; readonly state: "Waiting" | "Running" | "Ended" | "Failed" } | null
}

/** More are counted, and not shown. */
export const pageJobs = 20

const path = (queue: string) => `/queues/${encodeURIComponent(queue)}`

export const listQueues = async () => (await get<{ readonly queues: ReadonlyArray<QueueItem> }>("/queues")).queues

/** The jobs of a queue that run, wait or wait for their next attempt, the first ones of each. */
export const listJobs = async ({ jobs, name }: QueueItem): Promise<ReadonlyArray<JobItem>> => {
  const states = (["Running", "Waiting", "Delayed"] as const).filter((state) => jobs[state].count > 0)
  const pages = await Promise.all(
    states.map((state) =>
      get<{ readonly jobs: ReadonlyArray<JobItem> }>(`${path(name)}/jobs?state=${state}&limit=${pageJobs}`)
    )
  )
  return pages.flatMap(({ jobs }) => jobs).slice(0, pageJobs)
}

export const setPaused = (queue: string, paused: boolean) =>
  send(`${path(queue)}/${paused ? "pause" : "resume"}`, { method: "POST" })

export const cancelJob = (queue: string, id: string) =>
  send(`${path(queue)}/jobs/${encodeURIComponent(id)}`, { method: "DELETE" })

export const listSchedules = async () =>
  (await get<{ readonly schedules: ReadonlyArray<ScheduleItem> }>("/schedules")).schedules

export const operate = (schedule: string, operation: "pause" | "resume" | "run") =>
  send(`/schedules/${encodeURIComponent(schedule)}/${operation}`, { method: "POST" })
