import { Option } from "effect"
import type { DeadLetter } from "../JobSource.js"
import type { JobState } from "../QueueControl.js"
import { type JobRef, refKey } from "./dependencies.js"
import { defaultPriority } from "./priority.js"

/** A job without its lease. */
export interface Job {
  readonly id: string
  /** The order of offering. A job that returns to the queue keeps it. */
  readonly order: number
  readonly payload: unknown
  readonly attempt: number
  readonly cursor: Option.Option<unknown>
  readonly orphan: boolean
  readonly priority: number
  /** Of the jobs with this key one runs at a time. */
  readonly key: string | undefined
  /** The jobs that it depends on, by their keys, without those that have ended: these are removed. */
  readonly waitsFor: Map<string, JobRef>
  readonly offeredAt: number
  /** When it became available, or will. */
  readonly dueAt: number
  /** The error of the last attempt that failed. */
  readonly error: string | undefined
  /** For how many milliseconds its id is kept after its end. */
  readonly keepIdFor: number | undefined
  /** Until when its id is taken in any case. */
  readonly uniqueUntil: number | undefined
}

/** What a job waits for that depends on none. Nothing is added to it. */
const noJobs: Job["waitsFor"] = new Map()

/** A job before its first run. Written out, because a literal with two spreads takes V8 several microseconds. */
export const newJob = ({ dependsOn, dueAt, id, keepIdFor, key, offeredAt, order, payload, priority, uniqueUntil }: {
  readonly id: string
  readonly order: number
  readonly payload: unknown
  readonly priority: number | undefined
  readonly key: string | undefined
  readonly dependsOn: ReadonlyArray<JobRef> | undefined
  readonly offeredAt: number
  readonly dueAt: number
  readonly keepIdFor: number | undefined
  readonly uniqueUntil: number | undefined
}): Job => ({
  id,
  order,
  payload,
  attempt: 1,
  cursor: Option.none(),
  orphan: false,
  priority: priority ?? defaultPriority,
  key,
  waitsFor: dependsOn === undefined ? noJobs : new Map(dependsOn.map((ref) => [refKey(ref), ref])),
  offeredAt,
  dueAt,
  error: undefined,
  keepIdFor,
  uniqueUntil
})

/** How jobs are added, in milliseconds. */
export interface AddOptions {
  readonly delay: number
  readonly ids?: ReadonlyArray<string> | undefined
  readonly keys?: ReadonlyArray<string | undefined> | undefined
  /** Those that have not ended. */
  readonly dependsOn?: ReadonlyArray<ReadonlyArray<JobRef>> | undefined
  readonly keepIdFor?: number | undefined
  readonly uniqueFor?: number | undefined
  readonly priority?: number | undefined
}

/** The claim of a job. */
export interface Lease {
  readonly job: Job
  readonly token: string
  readonly since: number
  readonly until: number
}

/** A job as the queue stores it, with its lease if it runs, and its letter if it is dead. */
export interface Entry {
  readonly state: JobState
  readonly job: Job
  readonly lease?: Lease
  readonly letter?: DeadLetter
}

/** Whether a job is claimed before another one. */
export const isBefore = (a: Job, b: Job): boolean =>
  a.priority < b.priority || (a.priority === b.priority && a.order < b.order)

/** How many jobs were cancelled, and the tokens of those that ran. */
export interface Cancelled {
  readonly count: number
  readonly tokens: ReadonlyArray<string>
}
