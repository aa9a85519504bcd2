import { Effect } from "effect"
import { monotonicMillis } from "./monotonic.js"

/** In milliseconds. */
const longestTurn = 5

/** After so many steps the time is looked at. */
const stepsPerLook = 20

/** The next turn of the event loop. Not a timer: Node runs timers without a turn as long as the next one is due. */
export const turn = Effect.async<void>((resume) => {
  const next = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(next))
})

/**
 * To be run after each step of work that thousands may do without a wait: now and then it waits for a turn of the event loop, so
 * that timers and sockets are not held up.
 */
export const makeTurns = (): Effect.Effect<void> => {
  let steps = 0
  let last = 0
  const nextTurn = Effect.map(Effect.zipRight(turn, monotonicMillis), (now) => {
    steps = 0
    last = now
  })
  // Every fiber waits until the turn has come, or a thousand that run side by side would go on without one.
  const look = Effect.flatMap(monotonicMillis, (now) => {
    if (now - last >= longestTurn) return nextTurn
    steps = 0
    return Effect.void
  })
  return Effect.suspend(() => ++steps < stepsPerLook ? Effect.void : look)
}
