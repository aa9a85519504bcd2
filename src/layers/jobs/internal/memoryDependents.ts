import { type DateTime, Option } from "effect"
import { type DeadLetter, type OfferAllOptions, UnknownDependency } from "../JobSource.js"
import { dependenciesFault, dependenciesOf, type JobRef, refKey } from "./dependencies.js"
import type { Job } from "./memoryJob.js"
import type { MemoryQueue } from "./memoryQueueContract.js"

/** Hears that a job has ended; with a date when it is gone, since then. */
type Waiter = (now: number, goneAt: DateTime.Utc | undefined) => void

/** What the queues of one source know of each other. */
export interface MemoryStore {
  readonly queues: Map<string, MemoryQueue>
  /** What waits for the ends of jobs, by their keys. */
  readonly waiters: Map<string, Array<Waiter>>
}

/** The jobs of one queue that wait for others to succeed. */
export interface MemoryDependents {
  /** Keeps a job that still waits for others, and returns whether it does. */
  readonly hold: (job: Job) => boolean
  /** Has a job that was added hear of the ends that it waits for. */
  readonly listen: (job: Job) => void
  /** A job of this queue has succeeded, or is gone. */
  readonly ended: (now: number, id: string, goneAt?: DateTime.Utc) => void
  readonly jobs: () => ReadonlyArray<Job>
  readonly size: () => number
  /** Removes jobs. */
  readonly remove: (ids: ReadonlySet<string>) => void
}

/** Which jobs that have not ended each of the jobs depends on, or why these cannot be offered. A job that the queue has is not offered again. */
export const lookAtDependencies = (
  { queues }: MemoryStore,
  now: number,
  queue: string,
  jobs: number,
  options: OfferAllOptions
): { readonly fault?: Error | undefined; readonly unfinished?: ReadonlyArray<ReadonlyArray<JobRef>> | undefined } => {
  const fault = dependenciesFault(jobs, queue, options)
  const dependsOn = dependenciesOf(queue, options)
  if (fault !== undefined || dependsOn === undefined) return { fault }
  const { ids } = options
  const has = (id: string | undefined) => id !== undefined && queues.get(queue)?.has(now, id) === true
  const endOf = (ref: JobRef) => queues.has(ref.queue) ? queues.get(ref.queue)!.endOf(now, ref.id)?._tag : "Gone"
  const offered = dependsOn.map((refs, index) => has(ids?.[index]) ? [] : refs)
  const unknown = offered.flat().find((ref) => endOf(ref) === "Gone")
  return unknown === undefined
    ? { unfinished: offered.map((refs) => refs.filter((ref) => endOf(ref) !== "Succeeded")) }
    : { fault: new UnknownDependency(unknown) }
}

/** What a job becomes when one that it depends on is gone. */
const goneError = ({ id, queue }: JobRef) =>
  `it depends on the job ${id} of the queue ${queue}, which is gone: cancelled, or its dead letter discarded`

export const makeMemoryDependents = (options: {
  readonly queue: string
  readonly waiters: MemoryStore["waiters"]
  /** All that the job waited for has succeeded. */
  readonly release: (job: Job, now: number) => void
  /** The job becomes a dead letter. */
  readonly bury: (job: Job, now: number, letter: Pick<DeadLetter, "failedAt" | "error" | "failure">) => void
}): MemoryDependents => {
  const { bury, queue, release, waiters } = options
  const held = new Map<string, Job>()
  return {
    hold: (job) => {
      if (job.waitsFor.size === 0) return false
      held.set(job.id, job)
      return true
    },
    listen: ({ id, waitsFor }) => {
      for (const [key, ref] of waitsFor) {
        const ofJob = waiters.get(key) ?? []
        waiters.set(key, ofJob)
        ofJob.push((now, goneAt) => {
          waitsFor.delete(key)
          const job = held.get(id)
          // It is a dead letter already, or was cancelled.
          if (job?.waitsFor !== waitsFor) return
          if (goneAt === undefined && waitsFor.size > 0) return
          held.delete(id)
          if (goneAt === undefined) release({ ...job, dueAt: Math.max(job.dueAt, now) }, now)
          else bury(job, now, { error: goneError(ref), failedAt: goneAt, failure: Option.none() })
        })
      }
    },
    ended: (now, id, goneAt) => {
      const key = refKey({ queue, id })
      const ofJob = waiters.get(key) ?? []
      waiters.delete(key)
      for (const waiter of ofJob) waiter(now, goneAt)
    },
    jobs: () => Array.from(held.values()),
    size: () => held.size,
    remove: (ids) => {
      for (const id of ids) held.delete(id)
    }
  }
}
