import { DateTime, Option } from "effect"
import { randomUUID } from "node:crypto"
import type { Claim, DeadLetter, JobEnd } from "../JobSource.js"
import type { JobState } from "../QueueControl.js"
import { makeKeptIds } from "./keptIds.js"
import { makeMemoryAvailable } from "./memoryAvailable.js"
import { makeMemoryEnds, type MemoryEnds } from "./memoryEnds.js"
import { type AddOptions, type Cancelled, type Entry, type Job, type Lease, neverRun } from "./memoryJob.js"
import { makeMemoryKeys } from "./memoryKeys.js"
import { defaultPriority } from "./priority.js"

/**
 * A queue as a data structure: synchronous, and without a clock of its own. Times are monotonic milliseconds, except
 * `failedAt`, which is wall time.
 */
export interface MemoryQueue {
  /** The number of jobs that are available now or later, excluding claimed ones. */
  readonly size: () => number
  /** Whether the queue has a job of this id, in any state, or keeps the id of one. */
  readonly has: (now: number, id: string) => boolean
  /** Adds jobs, except those whose ids the queue has. Returns the ids of all of them. */
  readonly add: (now: number, payloads: ReadonlyArray<unknown>, options: AddOptions) => ReadonlyArray<string>
  /**
   * How long until there may be a job to claim: at most zero when there is one, infinite when none is known. Orphans that the
   * last claim left are none.
   */
  readonly dueIn: (now: number) => number
  /** While it is paused it gives no jobs. */
  readonly setPaused: (paused: boolean) => void
  /** See `JobQueue.claim`. */
  readonly claim: (now: number, limit: number, orphan: boolean) => ReadonlyArray<Claim>
  /** Whether the claim has its lease. The operations below do nothing for a claim that has not. */
  readonly isHeld: (now: number, claim: Claim) => boolean
  readonly setLease: (claim: Claim, until: number) => void
  /** Prolongs the lease, and never shortens it. */
  readonly renew: (claim: Claim, until: number) => void
  readonly setCursor: (claim: Claim, cursor: unknown) => void
  /** Removes an acknowledged job. */
  readonly remove: (now: number, claim: Claim, value?: Option.Option<unknown>) => void
  /** Ends the lease and makes the job available. */
  readonly putBack: (
    now: number,
    claim: Claim,
    options: { readonly attemptSpent: boolean; readonly delay: number; readonly error?: string }
  ) => void
  /** Removes jobs that wait or run. */
  readonly cancel: (now: number, ids: ReadonlyArray<string>) => Cancelled
  readonly find: (now: number, id: string) => Option.Option<Entry>
  /** The jobs of a state, in no order. */
  readonly entries: (now: number, state: JobState) => ReadonlyArray<Entry>
  readonly deadLetter: (now: number, claim: Claim, letter: Pick<DeadLetter, "failedAt" | "error" | "failure">) => void
  /** The dead letters, oldest first: all of them, or those after one that was listed before. */
  readonly deadLetters: (after?: Pick<DeadLetter, "id" | "failedAt">) => ReadonlyArray<DeadLetter>
  readonly redrive: (now: number, id: string, options: { readonly fromStart: boolean }) => boolean
  readonly discard: (id: string) => boolean
  /** Calls back once, when `dueIn` may have become less. Returns how to stop listening. */
  readonly onChange: (callback: () => void) => () => void
  /** How the job of this id has ended; undefined when it has not. */
  readonly endOf: (now: number, id: string) => JobEnd | undefined
  readonly onEnd: MemoryEnds["listen"]
}

export const makeMemoryQueue = (options: { readonly capacity: number; readonly lease: number }): MemoryQueue => {
  const available = makeMemoryAvailable()
  let delayed: Array<{ readonly job: Job; readonly at: number }> = []
  const leases = new Map<string, Lease>()
  const dead = new Map<string, { readonly job: Job; readonly letter: DeadLetter }>()
  /** The ids of all jobs, in any state. */
  const ids = new Set<string>()
  const kept = makeKeptIds()
  const keys = makeMemoryKeys()
  const ends = makeMemoryEnds()
  const listeners = new Set<() => void>()
  let offers = 0
  let claims = 0
  let paused = false
  /** No delay and no lease ends before this. */
  let nextDue = Number.POSITIVE_INFINITY

  const notify = () => {
    const callbacks = Array.from(listeners)
    listeners.clear()
    for (const callback of callbacks) callback()
  }

  const insertAt = (job: Job, now: number, at: number) => {
    const due = job.dueAt === at ? job : { ...job, dueAt: at }
    if (at <= now) return available.insert(due)
    delayed.push({ job: due, at })
    nextDue = Math.min(nextDue, at)
  }

  /** Inserts a job whose turn it is. */
  const enter = (job: Job, now: number) => {
    const entered = keys.enter(job)
    if (entered !== undefined) insertAt(entered, now, entered.dueAt)
  }

  /** A job that had the turn of its key has ended. */
  const leave = (job: Job, now: number) => {
    const next = keys.leave(job)
    if (next === undefined) return
    insertAt(next, now, next.dueAt)
    notify()
  }

  /** Makes jobs available whose delay has passed, or whose lease has expired; the latter spends an attempt. */
  const sweep = (now: number) => {
    if (now < nextDue) return
    nextDue = Number.POSITIVE_INFINITY
    const previous = delayed
    delayed = []
    for (const { at, job } of previous) insertAt(job, now, at)
    for (const { job, until } of Array.from(leases.values())) {
      if (until <= now) {
        leases.delete(job.id)
        available.insert({ ...job, attempt: job.attempt + 1, orphan: true })
      } else {
        nextDue = Math.min(nextDue, until)
      }
    }
  }

  const leaseOf = (claim: Claim) => {
    const lease = leases.get(claim.id)
    return lease?.token === claim.token ? lease : undefined
  }

  const setLease = (claim: Claim, until: number) => {
    const lease = leaseOf(claim)
    if (lease === undefined) return
    leases.set(claim.id, { ...lease, until })
    nextDue = Math.min(nextDue, until)
  }

  const discard = (id: string) => dead.delete(id) && ids.delete(id)

  const size = () => available.jobs().length + delayed.length + keys.size()

  const has = (now: number, id: string) => ids.has(id) || kept.get(now, id) !== undefined

  return {
    size,
    has,
    add: (now, payloads, { delay, ids: given, keys: keysGiven, keepIdFor, priority = defaultPriority, uniqueFor }) => {
      const uniqueUntil = uniqueFor === undefined ? undefined : now + uniqueFor
      const added = payloads.map((payload, index) => {
        const order = ++offers
        const id = given?.[index] ?? randomUUID()
        if (has(now, id)) return id
        ids.add(id)
        const job = { ...neverRun, id, order, payload, priority, key: keysGiven?.[index], keepIdFor, uniqueUntil }
        enter({ ...job, offeredAt: now, dueAt: now + delay }, now)
        return id
      })
      notify()
      return added
    },
    dueIn: (now) => {
      sweep(now)
      if (paused) return Number.POSITIVE_INFINITY
      return available.some() ? 0 : nextDue - now
    },
    setPaused: (isPaused) => {
      paused = isPaused
      notify()
    },
    claim: (now, limit, orphan) => {
      sweep(now)
      if (paused) return []
      return available.take(limit, orphan).map((job) => {
        const token = String(++claims)
        const until = now + options.lease
        leases.set(job.id, { job, token, since: now, until })
        nextDue = Math.min(nextDue, until)
        return { id: job.id, token, payload: job.payload, attempt: job.attempt, cursor: job.cursor, orphan: job.orphan }
      })
    },
    isHeld: (now, claim) => {
      sweep(now)
      return leaseOf(claim) !== undefined
    },
    setLease,
    renew: (claim, until) => setLease(claim, Math.max(until, leaseOf(claim)?.until ?? until)),
    setCursor: (claim, cursor) => {
      const lease = leaseOf(claim)
      if (lease === undefined) return
      leases.set(claim.id, { ...lease, job: { ...lease.job, cursor: Option.some(cursor) } })
    },
    remove: (now, claim, value = Option.none()) => {
      const lease = leaseOf(claim)
      if (lease === undefined) return
      leases.delete(claim.id)
      ids.delete(claim.id)
      const { keepIdFor, uniqueUntil = now } = lease.job
      if (keepIdFor !== undefined) kept.add(now, claim.id, { until: Math.max(now + keepIdFor, uniqueUntil), value })
      ends.announce(claim.id, { _tag: "Succeeded", value })
      leave(lease.job, now)
    },
    putBack: (now, claim, { attemptSpent, delay, error }) => {
      const lease = leaseOf(claim)
      if (lease === undefined) return
      leases.delete(claim.id)
      const { attempt, error: lastError } = lease.job
      insertAt(
        { ...lease.job, attempt: attempt + (attemptSpent ? 1 : 0), error: error ?? lastError },
        now,
        now + delay
      )
      notify()
    },
    cancel: (now, given) => {
      sweep(now)
      const waiting = size()
      const cancelled = new Set(given)
      const running = Array.from(leases.values()).filter(({ job }) => cancelled.has(job.id))
      for (const id of cancelled) if (!dead.has(id)) ids.delete(id)
      for (const id of cancelled) leases.delete(id)
      keys.remove(cancelled)
      const late = delayed.filter(({ job }) => cancelled.has(job.id))
      delayed = delayed.filter(({ job }) => !cancelled.has(job.id))
      const removed = [...available.remove(cancelled), ...late.map(({ job }) => job)]
      const count = waiting - size() + running.length
      for (const job of [...removed, ...running.map(({ job }) => job)]) leave(job, now)
      for (const id of cancelled) if (!dead.has(id)) ends.announce(id, { _tag: "Gone" })
      notify()
      return { count, tokens: running.map(({ token }) => token) }
    },
    find: (now, id) => {
      sweep(now)
      const lease = leases.get(id)
      const letter = dead.get(id)
      if (lease !== undefined) return Option.some({ state: "Running", job: lease.job, lease })
      if (letter !== undefined) return Option.some({ state: "Dead", ...letter })
      const findIn = (state: "Waiting" | "Delayed" | "Blocked", jobs: ReadonlyArray<Job>) =>
        Option.map(Option.fromNullable(jobs.find((job) => job.id === id)), (job): Entry => ({ state, job }))
      return findIn("Waiting", available.jobs()).pipe(
        Option.orElse(() => findIn("Delayed", delayed.map(({ job }) => job))),
        Option.orElse(() => findIn("Blocked", keys.jobs()))
      )
    },
    entries: (now, state) => {
      sweep(now)
      switch (state) {
        case "Waiting":
          return available.jobs().map((job) => ({ state, job }))
        case "Delayed":
          return delayed.map(({ job }) => ({ state, job }))
        case "Blocked":
          return keys.jobs().map((job) => ({ state, job }))
        case "Running":
          return Array.from(leases.values(), (lease) => ({ state, job: lease.job, lease }))
        case "Dead":
          return Array.from(dead.values(), (letter) => ({ state, ...letter }))
      }
    },
    deadLetter: (now, claim, { error, failedAt, failure }) => {
      const lease = leaseOf(claim)
      if (lease === undefined) return
      leases.delete(claim.id)
      const { attempt, cursor, id, payload } = lease.job
      dead.set(id, { job: lease.job, letter: { id, payload, cursor, error, failure, attempt, failedAt } })
      const [oldest] = dead.keys()
      if (dead.size > options.capacity) discard(oldest!)
      ends.announce(id, { _tag: "DeadLettered", error, failure })
      leave(lease.job, now)
    },
    deadLetters: (after) => {
      const letters = Array.from(dead.values(), ({ letter }) => letter)
      if (after === undefined) return letters
      const index = letters.findIndex(({ id }) => id === after.id)
      return index >= 0
        ? letters.slice(index + 1)
        : letters.filter(({ failedAt }) => DateTime.greaterThanOrEqualTo(failedAt, after.failedAt))
    },
    redrive: (now, id, { fromStart }) => {
      const found = dead.get(id)
      if (found === undefined) return false
      dead.delete(id)
      const cursor = fromStart ? Option.none() : found.job.cursor
      enter({ ...found.job, attempt: 1, orphan: false, cursor, dueAt: now }, now)
      notify()
      return true
    },
    discard,
    endOf: (now, id) => {
      sweep(now)
      const { error, failure } = dead.get(id)?.letter ?? {}
      if (failure !== undefined) return { _tag: "DeadLettered", error: error!, failure }
      const { value } = kept.get(now, id) ?? {}
      return ids.has(id) ? undefined : value === undefined ? { _tag: "Gone" } : { _tag: "Succeeded", value }
    },
    onEnd: ends.listen,
    onChange: (callback) => {
      listeners.add(callback)
      return () => void listeners.delete(callback)
    }
  }
}
