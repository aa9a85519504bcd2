import { isBefore, type Job } from "./memoryJob.js"

/** The jobs that may be claimed, by priority and then by the order of offering. */
export interface MemoryAvailable {
  readonly jobs: () => ReadonlyArray<Job>
  readonly insert: (job: Job) => void
  /** Takes the first jobs, among them one orphan at most: none unless `orphan`. */
  readonly take: (limit: number, orphan: boolean) => ReadonlyArray<Job>
  /** Whether there may be a job to take. Orphans that were left last time are none. */
  readonly some: () => boolean
  readonly remove: (ids: ReadonlySet<string>) => ReadonlyArray<Job>
}

export const makeMemoryAvailable = (): MemoryAvailable => {
  const available: Array<Job> = []
  let orphansLeft = false
  return {
    jobs: () => available,
    insert: (job) => {
      let low = 0
      let high = available.length
      while (low < high) {
        const middle = (low + high) >>> 1
        if (isBefore(available[middle]!, job)) low = middle + 1
        else high = middle
      }
      available.splice(low, 0, job)
    },
    take: (limit, orphan) => {
      const first = available.findIndex((job) => job.orphan)
      const taken: Array<Job> = []
      if (first >= 0 && first < limit) {
        orphansLeft = !orphan
        const left = available.filter((job) => {
          if (taken.length === limit || (job.orphan && orphansLeft)) return true
          orphansLeft = orphansLeft || job.orphan
          taken.push(job)
          return false
        })
        available.splice(0, available.length, ...left)
        return taken
      }
      return available.splice(0, limit)
    },
    some: () => available.some(({ orphan }) => !orphan || !orphansLeft),
    remove: (ids) => {
      const removed = available.filter(({ id }) => ids.has(id))
      available.splice(0, available.length, ...available.filter(({ id }) => !ids.has(id)))
      return removed
    }
  }
}
