import { DateTime, Option } from "effect"
import { randomUUID } from "node:crypto"
import type { Claim, DeadLetter } from "../JobSource.js"
import type { JobState } from "../QueueControl.js"
import { makeKeptIds } from "./keptIds.js"
import { makeMemoryAvailable } from "./memoryAvailable.js"
import { makeMemoryDependents, type MemoryStore } from "./memoryDependents.js"
import { makeMemoryEnds } from "./memoryEnds.js"
import { type Entry, type Job, type Lease, newJob } from "./memoryJob.js"
import { makeMemoryKeys } from "./memoryKeys.js"
import type { MemoryQueue } from "./memoryQueueContract.js"

const waitingStates: ReadonlyArray<JobState> = ["Waiting", "Delayed", "Blocked"]

export const makeMemoryQueue = (options: {
  readonly name: string
  readonly capacity: number
  readonly lease: number
  readonly waiters: MemoryStore["waiters"]
}): MemoryQueue => {
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
    if (listeners.size === 0) return
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

  /** Inserts a job that waits for no other, if it has the turn of its key. */
  const release = (job: Job, now: number) => {
    const entered = keys.enter(job)
    if (entered !== undefined) insertAt(entered, now, entered.dueAt)
    notify()
  }

  const bury = (
    job: Job,
    now: number,
    { error, failedAt, failure }: Pick<DeadLetter, "failedAt" | "error" | "failure">
  ) => {
    const { attempt, cursor, id, payload } = job
    dead.set(id, { job, letter: { id, payload, cursor, error, failure, attempt, failedAt } })
    const [oldest] = dead.keys()
    if (dead.size > options.capacity) discard(now, oldest!, failedAt)
    ends.announce(id, { _tag: "DeadLettered", error, failure })
  }

  const dependents = makeMemoryDependents({ queue: options.name, waiters: options.waiters, release, bury })

  /** Inserts a job that has not run since it was offered or redriven. */
  const enter = (job: Job, now: number) => {
    if (!dependents.hold(job)) release(job, now)
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

  const discard = (now: number, id: string, at: DateTime.Utc) => {
    if (!dead.delete(id)) return false
    ids.delete(id)
    dependents.ended(now, id, at)
    return true
  }

  const size = () => available.jobs().length + delayed.length + keys.size() + dependents.size()

  const entriesOf = (state: JobState): ReadonlyArray<Entry> => {
    const entries = (jobs: ReadonlyArray<Job>) => jobs.map((job) => ({ state, job }))
    switch (state) {
      case "Waiting":
        return entries(available.jobs())
      case "Delayed":
        return entries(delayed.map(({ job }) => job))
      case "Blocked":
        return entries([...dependents.jobs(), ...keys.jobs()])
      case "Running":
        return Array.from(leases.values(), (lease) => ({ state, job: lease.job, lease }))
      case "Dead":
        return Array.from(dead.values(), (letter) => ({ state, ...letter }))
    }
  }

  const has = (now: number, id: string) => ids.has(id) || kept.get(now, id) !== undefined

  return {
    size,
    has,
    add: (now, payloads, { delay, dependsOn, ids: given, keys: ofKeys, keepIdFor, priority, uniqueFor }) => {
      const uniqueUntil = uniqueFor === undefined ? undefined : now + uniqueFor
      return payloads.map((payload, index) => {
        const order = ++offers
        const id = given?.[index] ?? randomUUID()
        if (has(now, id)) return id
        ids.add(id)
        const job = newJob({
          id,
          order,
          payload,
          priority,
          key: ofKeys?.[index],
          dependsOn: dependsOn?.[index],
          offeredAt: now,
          dueAt: now + delay,
          keepIdFor,
          uniqueUntil
        })
        dependents.listen(job)
        enter(job, now)
        return id
      })
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
      dependents.ended(now, claim.id)
    },
    putBack: (now, claim, { attemptSpent, delay, error }) => {
      const lease = leaseOf(claim)
      if (lease === undefined) return
      leases.delete(claim.id)
      const { attempt, error: lastError } = lease.job
      const dueAt = now + delay
      insertAt(
        { ...lease.job, attempt: attempt + (attemptSpent ? 1 : 0), error: error ?? lastError, dueAt },
        now,
        dueAt
      )
      notify()
    },
    cancel: (now, given, at) => {
      sweep(now)
      const waiting = size()
      const cancelled = new Set(given)
      const running = Array.from(leases.values()).filter(({ job }) => cancelled.has(job.id))
      for (const id of cancelled) if (!dead.has(id)) ids.delete(id)
      for (const id of cancelled) leases.delete(id)
      keys.remove(cancelled)
      dependents.remove(cancelled)
      const late = delayed.filter(({ job }) => cancelled.has(job.id))
      delayed = delayed.filter(({ job }) => !cancelled.has(job.id))
      const removed = [...available.remove(cancelled), ...late.map(({ job }) => job)]
      const count = waiting - size() + running.length
      for (const job of [...removed, ...running.map(({ job }) => job)]) leave(job, now)
      for (const id of cancelled) {
        if (dead.has(id)) continue
        ends.announce(id, { _tag: "Gone" })
        dependents.ended(now, id, at)
      }
      notify()
      return { count, tokens: running.map(({ token }) => token) }
    },
    find: (now, id) => {
      if (!ids.has(id)) return Option.none()
      sweep(now)
      const lease = leases.get(id)
      if (lease !== undefined) return Option.some({ state: "Running", job: lease.job, lease })
      const letter = dead.get(id)
      if (letter !== undefined) return Option.some({ state: "Dead", ...letter })
      for (const state of waitingStates) {
        const found = entriesOf(state).find(({ job }) => job.id === id)
        if (found !== undefined) return Option.some(found)
      }
      return Option.none()
    },
    entries: (now, state) => {
      sweep(now)
      return entriesOf(state)
    },
    deadLetter: (now, claim, letter) => {
      const lease = leaseOf(claim)
      if (lease === undefined) return
      leases.delete(claim.id)
      bury(lease.job, now, letter)
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
      return true
    },
    discard,
    endOf: (now, id) => {
      sweep(now)
      const letter = dead.get(id)?.letter
      if (letter !== undefined) return { _tag: "DeadLettered", error: letter.error, failure: letter.failure }
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
