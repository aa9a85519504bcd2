import type { JobEnd } from "../JobSource.js"

/** Passes the ends of jobs in memory on to what waits for them. */
export interface MemoryEnds {
  /** Calls back once, when the job ends. Returns how to stop listening. */
  readonly listen: (id: string, callback: (end: JobEnd) => void) => () => void
  readonly announce: (id: string, end: JobEnd) => void
}

export const makeMemoryEnds = (): MemoryEnds => {
  const listeners = new Map<string, Set<(end: JobEnd) => void>>()
  return {
    listen: (id, callback) => {
      const ofJob = listeners.get(id) ?? new Set()
      listeners.set(id, ofJob)
      ofJob.add(callback)
      return () => {
        ofJob.delete(callback)
        if (ofJob.size === 0 && listeners.get(id) === ofJob) listeners.delete(id)
      }
    },
    announce: (id, end) => {
      const ofJob = listeners.get(id)
      if (ofJob === undefined) return
      listeners.delete(id)
      for (const callback of ofJob) callback(end)
    }
  }
}
