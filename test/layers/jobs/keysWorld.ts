import { assert } from "@effect/vitest"
import { Effect } from "effect"

/** A job in the order of its key. */
export interface KeyedJob {
  readonly key: string
  /** Jobs of a key are numbered in the order of their offers. */
  readonly n: number
}

/** Records when runs begin and end, in whatever pool. */
export const makeKeyJournal = () => {
  const entries: Array<KeyedJob & { readonly what: "begins" | "ends" }> = []
  const record = ({ key, n }: KeyedJob, what: "begins" | "ends") =>
    Effect.sync(() => void entries.push({ key, n, what }))
  return {
    entries,
    /** A process whose run is recorded. */
    recorded: <A, E, R>(job: KeyedJob, process: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.acquireUseRelease(record(job, "begins"), () => process, () => record(job, "ends")),
    /** Of the jobs of a key one runs at a time, and they begin in order. Returns how many have begun. */
    assertSound: () => {
      const keys = new Map<string, { running: number; last: number }>()
      for (const { key, n, what } of entries) {
        const state = keys.get(key) ?? { running: 0, last: -1 }
        keys.set(key, state)
        state.running += what === "begins" ? 1 : -1
        assert.isAtMost(state.running, 1, `${key}/${n} ${what} while another job of its key runs`)
        if (what === "begins") {
          assert.isAtLeast(n, state.last, `${key}/${n} begins after ${key}/${state.last}`)
          state.last = n
        }
      }
      return new Set(entries.map(({ key, n }) => `${key}/${n}`)).size
    }
  }
}
