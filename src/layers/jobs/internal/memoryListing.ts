import { Clock, DateTime, Effect, Option } from "effect"
import { monotonicMillis } from "../../../core/internal/monotonic.js"
import type { JobState, QueueListing, StoredJob } from "../QueueControl.js"
import { claimant } from "./claimant.js"
import type { Entry } from "./memoryJob.js"
import type { MemoryQueue } from "./memoryQueueContract.js"
import { after, formatPosition, parsePosition, toPage } from "./position.js"

const finite = (millis: number) => Number.isFinite(millis) ? Option.some(millis) : Option.none()

/** Where the entry is in the list of its state. */
const positionOf = ({ job, lease, letter, state }: Entry) => {
  const order = String(job.order).padStart(16, "0")
  if (state === "Blocked") return { at: 0, key: `${job.waitsFor.size > 0 ? "" : job.key}\u0000${order}` }
  const at = letter === undefined ? lease?.since ?? job.dueAt : DateTime.toEpochMillis(letter.failedAt)
  return { at: Math.floor(at), key: order }
}

/** What is in a queue in memory. */
export const memoryListing = (
  name: string,
  queue: MemoryQueue
): QueueListing & { readonly find: (id: string) => Effect.Effect<Option.Option<StoredJob>> } => {
  const by = Option.some(claimant())
  /** The queue counts in monotonic time, people read the time of the wall. */
  const times = Effect.map(Effect.all([monotonicMillis, Clock.currentTimeMillis]), ([now, wall]) => {
    const toDate = (at: number) => DateTime.unsafeMake(Math.round(wall - now + at))
    const toStoredJob = ({ job, lease, letter, state }: Entry): StoredJob => ({
      id: job.id,
      state,
      key: Option.fromNullable(job.key),
      payload: job.payload,
      attempt: job.attempt,
      cursor: job.cursor,
      offeredAt: toDate(job.offeredAt),
      dueAt: toDate(job.dueAt),
      run: Option.map(Option.fromNullable(lease), ({ since, until }) => ({
        by,
        since: Option.some(toDate(since)),
        leaseUntil: Option.map(finite(until), toDate)
      })),
      error: Option.fromNullable(letter?.error ?? job.error),
      failure: letter?.failure ?? Option.none(),
      failedAt: Option.map(Option.fromNullable(letter), ({ failedAt }) => failedAt)
    })
    return { now, toDate, toStoredJob }
  })
  return {
    find: (id) => Effect.map(times, ({ now, toStoredJob }) => Option.map(queue.find(now, id), toStoredJob)),
    list: ({ after: text, limit, state }) =>
      Effect.zipWith(parsePosition(name, text), times, (position, { now, toStoredJob }) => {
        const entries = queue.entries(now, state).map((entry) => ({ entry, ...positionOf(entry) }))
        const found = after(entries, position, limit)
        return toPage(found.map((one) => ({ job: toStoredJob(one.entry), position: formatPosition(one) })), limit)
      }),
    listLimits: { Waiting: Infinity, Delayed: Infinity, Blocked: Infinity, Running: Infinity, Dead: Infinity },
    depth: Effect.map(times, ({ now, toDate }) => {
      const count = (state: JobState) => ({ count: queue.entries(now, state).length, estimated: false })
      const waiting = queue.entries(now, "Waiting").map(({ job }) => job.dueAt)
      return {
        jobs: {
          Waiting: count("Waiting"),
          Delayed: count("Delayed"),
          Blocked: count("Blocked"),
          Running: count("Running"),
          Dead: count("Dead")
        },
        oldest: waiting.length === 0 ? Option.none() : Option.some(toDate(waiting.reduce((a, b) => Math.min(a, b))))
      }
    })
  }
}
