import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { makeTurns } from "../../../src/core/internal/eventLoop.js"

/** Takes 0.2 milliseconds without a wait, as a step of a release may. */
const step = Effect.sync(() => {
  const until = performance.now() + 0.2
  while (performance.now() < until);
})

/** How many steps are done between two turns of the event loop, at most. */
const longest = (fibers: number, stepsOf: (step: Effect.Effect<void>) => Effect.Effect<unknown>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const loop = { steps: 0, most: 0, next: undefined as NodeJS.Immediate | undefined }
      const turn = () => {
        loop.steps = 0
        loop.next = setImmediate(turn)
      }
      turn()
      return loop
    }),
    (loop) => {
      const counted = Effect.map(step, () => {
        loop.most = Math.max(loop.most, ++loop.steps)
      })
      const all = Effect.replicate(Effect.suspend(() => stepsOf(counted)), fibers)
      return Effect.map(Effect.all(all, { concurrency: "unbounded" }), () => loop.most)
    },
    ({ next }) => Effect.sync(() => clearImmediate(next))
  )

describe("turns of the event loop", () => {
  for (const fibers of [1, 2, 5]) {
    it.live(`come now and then while ${fibers} at once do hundreds of steps without a wait`, () =>
      Effect.gen(function*() {
        const alone = yield* longest(fibers, Effect.repeatN(199))
        const inTurns = yield* longest(fibers, (step) => Effect.repeatN(Effect.zipRight(step, makeTurns()), 199))
        assert.strictEqual(alone, 200 * fibers)
        // Each fiber does 5 milliseconds of work before it waits for a turn, that is about 40 steps.
        assert.isAtMost(inTurns, 60 * fibers)
      }))
  }
})
