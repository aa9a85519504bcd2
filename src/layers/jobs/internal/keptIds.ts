/** The ids that a queue in memory keeps after the end of their jobs. */
export interface KeptIds {
  readonly has: (now: number, id: string) => boolean
  readonly add: (now: number, id: string, until: number) => void
}

/** How many kept ids are looked at whenever one is added. */
const idsLookedAt = 4

export const makeKeptIds = (): KeptIds => {
  /** Until when each is kept. */
  const kept = new Map<string, number>()
  return {
    has: (now, id) => kept.get(id)! > now,
    // Forgets some of the ids that were kept long enough. More are looked at than are added, so all of them in time.
    add: (now, id, until) => {
      const entries = kept.entries()
      for (let n = 0; n < idsLookedAt; n++) {
        const entry = entries.next()
        if (entry.done === true) break
        const [oldest, until] = entry.value
        kept.delete(oldest)
        if (until > now) kept.set(oldest, until)
      }
      kept.set(id, until)
    }
  }
}
