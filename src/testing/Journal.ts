/**
 * A list of timed lines that a test asserts as a whole.
 *
 * @module
 * @since 0.1.0
 */
import { Duration, Effect, Ref } from "effect"
import { shortDuration } from "../core/internal/duration.js"
import { monotonicMillis } from "../core/internal/monotonic.js"

/**
 * A journal of one test.
 *
 * @since 0.1.0
 * @category models
 */
export interface Journal {
  /** Adds a line with the time since the journal was made: `5s pool closed`. */
  readonly note: (what: string) => Effect.Effect<void>
  /** The lines so far. */
  readonly lines: Effect.Effect<ReadonlyArray<string>>
}

/**
 * A line of a journal: the time, then the event.
 *
 * @internal
 */
export const line = (millis: number, what: string): string => `${shortDuration(Duration.millis(millis))} ${what}`

/**
 * Makes a journal whose time starts at zero now. It uses the `Clock`, so times are exact under the `TestClock`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Journal } from "lastcall/testing"
 *
 * const program = Effect.gen(function*() {
 *   const journal = yield* Journal.make
 *   yield* Effect.addFinalizer(() => journal.note("pool closed"))
 *   return journal
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Journal> = Effect.gen(function*() {
  const from = yield* monotonicMillis
  const lines = yield* Ref.make<ReadonlyArray<string>>([])
  return {
    note: (what) =>
      Effect.flatMap(monotonicMillis, (now) => Ref.update(lines, (all) => [...all, line(now - from, what)])),
    lines: Ref.get(lines)
  }
})
