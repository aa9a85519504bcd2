import type { Option } from "effect"

/** The id of a job that was acknowledged. */
interface KeptId {
  readonly until: number
  /** What the job was acknowledged with, encoded. */
  readonly value: Option.Option<unknown>
}

/** The ids that a queue in memory keeps after the end of their jobs. */
export interface KeptIds {
  readonly get: (now: number, id: string) => KeptId | undefined
  readonly add: (now: number, id: string, kept: KeptId) => void
}

/** How many kept ids are looked at whenever one is added. */
const idsLookedAt = 4

export const makeKeptIds = (): KeptIds => {
  const kept = new Map<string, KeptId>()
  return {
    get: (now, id) => {
      const found = kept.get(id)
      return found !== undefined && found.until > now ? found : undefined
    },
    // Forgets some of the ids that were kept long enough. More are looked at than are added, so all of them in time.
    add: (now, id, added) => {
      const entries = kept.entries()
      for (let n = 0; n < idsLookedAt; n++) {
        const entry = entries.next()
        if (entry.done === true) break
        const [oldest, one] = entry.value
        kept.delete(oldest)
        if (one.until > now) kept.set(oldest, one)
      }
      kept.set(id, added)
    }
  }
}
