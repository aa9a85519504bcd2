import { DateTime, Option } from "effect"
import type { Claim, DeadLetter, StoredJob } from "../JobSource.js"

interface Stored {
  readonly id: string
  /** The order of offering: what is claimed first, also after a hand-back. */
  readonly order: number
  readonly payload: unknown
  readonly attempt: number
  readonly cursor: Option.Option<unknown>
}

interface Leased {
  readonly job: Stored
  readonly token: string
  readonly until: number
}

/** A queue as plain data: every operation is one step, told what time it is. */
export interface MemoryQueue {
  readonly waiting: () => number
  /** Whether it holds a job of this id, in whatever state. */
  readonly has: (id: string) => boolean
  /** Adds jobs, except for the ids that it holds. */
  readonly add: (
    now: number,
    payloads: ReadonlyArray<unknown>,
    options: { readonly delay: number; readonly ids?: ReadonlyArray<string> | undefined }
  ) => ReadonlyArray<string>
  /** How long until there may be something to claim: zero now, infinite when nothing is known. */
  readonly due: (now: number) => number
  readonly claim: (now: number, limit: number) => ReadonlyArray<Claim>
  readonly holds: (now: number, claim: Claim) => boolean
  /** Sets the end of a lease that is held. */
  readonly lease: (claim: Claim, until: number) => void
  /** Sets the end of a lease that is held, unless it ends later anyway. */
  readonly renew: (claim: Claim, until: number) => void
  /** Ends a lease that is held; the job is gone unless it is put back. */
  readonly settle: (claim: Claim) => void
  /** Keeps where a job that is held has got to. */
  readonly advance: (claim: Claim, cursor: unknown) => void
  /** Ends a lease that is held and makes the job available again. */
  readonly putBack: (now: number, claim: Claim, options: { readonly spent: boolean; readonly delay: number }) => void
  readonly find: (now: number, id: string) => Option.Option<StoredJob>
  readonly bury: (now: number, claim: Claim, error: string) => void
  /** The dead letters, oldest first: all, or those after one that was there, whether or not it still is. */
  readonly buried: (after?: Pick<DeadLetter, "id" | "failedAt">) => ReadonlyArray<DeadLetter>
  readonly exhume: (now: number, id: string, options: { readonly fromStart: boolean }) => boolean
  readonly forget: (id: string) => boolean
  /** Calls back once, at the next moment at which `due` may have become less. Returns how to take that back. */
  readonly onChange: (callback: () => void) => () => void
}

export const makeMemoryQueue = (options: { readonly capacity: number; readonly lease: number }): MemoryQueue => {
  const ready: Array<Stored> = []
  let later: Array<{ readonly job: Stored; readonly at: number }> = []
  const leased = new Map<string, Leased>()
  const dead = new Map<string, { readonly job: Stored; readonly letter: DeadLetter }>()
  /** Of all jobs that are held. */
  const ids = new Set<string>()
  const waiters = new Set<() => void>()
  let offered = 0
  let claims = 0
  /** Nothing becomes due before this, neither a delay nor a lease. */
  let nextDue = Number.POSITIVE_INFINITY

  const changed = () => {
    const callbacks = Array.from(waiters)
    waiters.clear()
    for (const callback of callbacks) callback()
  }

  const insert = (job: Stored) => {
    let low = 0
    let high = ready.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (ready[middle]!.order < job.order) low = middle + 1
      else high = middle
    }
    ready.splice(low, 0, job)
  }

  const insertAt = (job: Stored, now: number, at: number) => {
    if (at <= now) return insert(job)
    later.push({ job, at })
    nextDue = Math.min(nextDue, at)
  }

  /** Delays that are over and leases that ran out, at the cost of one attempt. */
  const sweep = (now: number) => {
    if (now < nextDue) return
    nextDue = Number.POSITIVE_INFINITY
    const delayed = later
    later = []
    for (const { at, job } of delayed) insertAt(job, now, at)
    for (const { job, until } of Array.from(leased.values())) {
      if (until <= now) {
        leased.delete(job.id)
        insert({ ...job, attempt: job.attempt + 1 })
      } else {
        nextDue = Math.min(nextDue, until)
      }
    }
  }

  const held = (claim: Claim) => {
    const lease = leased.get(claim.id)
    return lease?.token === claim.token ? lease : undefined
  }

  const setLease = (claim: Claim, until: number) => {
    const lease = held(claim)
    if (lease === undefined) return
    leased.set(claim.id, { ...lease, until })
    nextDue = Math.min(nextDue, until)
  }

  const add: MemoryQueue["add"] = (now, payloads, { delay, ids: given }) => {
    const added = payloads.map((payload, nth) => {
      const order = ++offered
      const id = given?.[nth] ?? String(order)
      if (ids.has(id)) return id
      ids.add(id)
      insertAt({ id, order, payload, attempt: 1, cursor: Option.none() }, now, now + delay)
      return id
    })
    changed()
    return added
  }

  const claim: MemoryQueue["claim"] = (now, limit) => {
    sweep(now)
    return ready.splice(0, limit).map((job) => {
      const token = String(++claims)
      const until = now + options.lease
      leased.set(job.id, { job, token, until })
      nextDue = Math.min(nextDue, until)
      return { id: job.id, token, payload: job.payload, attempt: job.attempt, cursor: job.cursor }
    })
  }

  const find: MemoryQueue["find"] = (now, id) => {
    sweep(now)
    const held = (state: StoredJob["state"], job: Stored | undefined) =>
      job && { id, state, payload: job.payload, attempt: job.attempt, cursor: job.cursor }
    return Option.fromNullable(
      held("Running", leased.get(id)?.job) ?? held("Dead", dead.get(id)?.job) ??
        held("Waiting", ready.find((job) => job.id === id) ?? later.find(({ job }) => job.id === id)?.job)
    )
  }

  const forget: MemoryQueue["forget"] = (id) => dead.delete(id) && ids.delete(id)

  return {
    waiting: () => ready.length + later.length,
    has: (id) => ids.has(id),
    add,
    due: (now) => {
      sweep(now)
      return ready.length > 0 ? 0 : nextDue - now
    },
    claim,
    holds: (now, claim) => {
      sweep(now)
      return held(claim) !== undefined
    },
    lease: setLease,
    renew: (claim, until) => setLease(claim, Math.max(until, held(claim)?.until ?? until)),
    settle: (claim) => {
      leased.delete(claim.id)
      ids.delete(claim.id)
    },
    advance: (claim, cursor) => {
      const lease = held(claim)
      if (lease === undefined) return
      leased.set(claim.id, { ...lease, job: { ...lease.job, cursor: Option.some(cursor) } })
    },
    putBack: (now, claim, { delay, spent }) => {
      const lease = held(claim)
      if (lease === undefined) return
      leased.delete(claim.id)
      insertAt({ ...lease.job, attempt: lease.job.attempt + (spent ? 1 : 0) }, now, now + delay)
      changed()
    },
    find,
    bury: (now, claim, error) => {
      const lease = held(claim)
      if (lease === undefined) return
      leased.delete(claim.id)
      const { attempt, cursor, id, payload } = lease.job
      const letter = { id, payload, cursor, error, attempt, failedAt: DateTime.unsafeMake(now) }
      dead.set(id, { job: lease.job, letter })
      const [oldest] = dead.keys()
      if (dead.size > options.capacity) forget(oldest!)
    },
    buried: (after) => {
      const letters = Array.from(dead.values(), ({ letter }) => letter)
      if (after === undefined) return letters
      const known = letters.findIndex(({ id }) => id === after.id)
      return known >= 0
        ? letters.slice(known + 1)
        : letters.filter(({ failedAt }) => DateTime.greaterThanOrEqualTo(failedAt, after.failedAt))
    },
    exhume: (now, id, { fromStart }) => {
      const found = dead.get(id)
      if (found === undefined) return false
      dead.delete(id)
      insertAt({ ...found.job, attempt: 1, cursor: fromStart ? Option.none() : found.job.cursor }, now, now)
      changed()
      return true
    },
    forget,
    onChange: (callback) => {
      waiters.add(callback)
      return () => {
        waiters.delete(callback)
      }
    }
  }
}
