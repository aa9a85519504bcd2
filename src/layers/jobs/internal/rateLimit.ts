import { Duration, Effect } from "effect"
import { monotonicMillis } from "../../../core/internal/monotonic.js"
import { countOption, durationOption } from "../../../core/internal/options.js"
import type { RateLimit as RateLimitOptions } from "./poolOptions.js"

/** How many jobs a pool begins in a time. */
export interface RateLimit {
  /** How many jobs may begin now, at most as many as are asked for. */
  readonly room: (most: number) => Effect.Effect<number>
  /** So many jobs begin. */
  readonly began: (jobs: number) => Effect.Effect<void>
  /** Completes when a job may begin. */
  readonly awaitRoom: Effect.Effect<void>
}

/** Any number of jobs at any time. */
export const unlimited: RateLimit = { room: Effect.succeed, began: () => Effect.void, awaitRoom: Effect.void }

/** See `Options.rateLimit`. Remembers, in a ring, when the last `limit` jobs began. Throws as `countOption` does. */
export const makeRateLimit = (pool: string, options: RateLimitOptions): RateLimit => {
  const limit = countOption(pool, "rateLimit.limit", options.limit, { least: 1 })
  const interval = Duration.toMillis(
    durationOption(pool, "rateLimit.interval", options.interval, { positive: true })
  )
  const begins: Array<number> = []
  /** The place of the oldest. */
  let first = 0
  const freeAt = (nth: number) => (begins[(first + nth) % limit] ?? Number.NEGATIVE_INFINITY) + interval
  return {
    room: (most) =>
      Effect.map(monotonicMillis, (now) => {
        let room = 0
        while (room < Math.min(limit, most) && freeAt(room) <= now) room++
        return room
      }),
    began: (jobs) =>
      Effect.map(monotonicMillis, (now) => {
        for (let job = 0; job < jobs; job++) {
          begins[first] = now
          first = (first + 1) % limit
        }
      }),
    awaitRoom: Effect.flatMap(
      monotonicMillis,
      (now) => freeAt(0) <= now ? Effect.void : Effect.sleep(Math.ceil(freeAt(0) - now))
    )
  }
}
