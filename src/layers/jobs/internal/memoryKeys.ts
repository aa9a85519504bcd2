import type { Job } from "./memoryJob.js"

/** The jobs that wait for the turn of their keys. Of each key at most one job is elsewhere: it has the turn. */
export interface MemoryKeys {
  /** Gives the job its turn and returns it, or keeps it until its turn comes. */
  readonly enter: (job: Job) => Job | undefined
  /** The job that had the turn of its key has ended. Returns the next one of the key, which has the turn now. */
  readonly leave: (job: Job) => Job | undefined
  readonly size: () => number
  readonly jobs: () => ReadonlyArray<Job>
  /** Removes jobs. */
  readonly remove: (ids: ReadonlySet<string>) => void
}

export const makeMemoryKeys = (): MemoryKeys => {
  /** The jobs behind the one that has the turn, in the order of offering. A key is there while a job has its turn. */
  const behind = new Map<string, Array<Job>>()
  let size = 0
  return {
    enter: (job) => {
      if (job.key === undefined) return job
      const others = behind.get(job.key)
      if (others === undefined) {
        behind.set(job.key, [])
        return job
      }
      size++
      // A redriven job comes before those that were offered after it.
      const index = (others.at(-1)?.order ?? 0) < job.order ? -1 : others.findIndex(({ order }) => job.order < order)
      others.splice(index < 0 ? others.length : index, 0, job)
      return undefined
    },
    leave: ({ key }) => {
      if (key === undefined) return undefined
      const next = behind.get(key)?.shift()
      if (next === undefined) behind.delete(key)
      else size--
      return next
    },
    size: () => size,
    jobs: () => Array.from(behind.values()).flat(),
    remove: (ids) => {
      for (const [key, others] of behind) {
        const left = others.filter(({ id }) => !ids.has(id))
        size -= others.length - left.length
        behind.set(key, left)
      }
    }
  }
}
