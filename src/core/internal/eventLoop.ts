import { Duration, Effect } from "effect"

/** So many steps of releases take a few milliseconds. */
const stepsPerTurn = 100

/**
 * To be run after each step of work that thousands may do without a wait: now and then it waits for a turn of the event loop, so
 * that timers and sockets are not held up.
 */
export const makeTurns = (): Effect.Effect<void> => {
  let steps = 0
  // Every fiber waits until the turn has come, or a thousand that run side by side would go on without one.
  const turn = Effect.map(Effect.sleep(Duration.zero), () => {
    steps = 0
  })
  return Effect.suspend(() => ++steps < stepsPerTurn ? Effect.void : turn)
}
