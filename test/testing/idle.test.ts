import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, TestClock } from "effect"
import { nextTimer, testClock } from "../../src/testing/internal/idle.js"

describe("The time to the next timer", () => {
  it.effect("moves the clock to it also when it is less than a nanosecond", () =>
    Effect.gen(function*() {
      const clock = Option.getOrThrow(yield* testClock)
      // 0.1 + 1.1 is more than 1.2; 0.1 + 0.1 + 1 is 1.2.
      const sleeping = yield* Effect.fork(Effect.zipRight(Effect.sleep(0.1), Effect.sleep(1.1)))
      yield* Effect.forEach([0.1, 0.1, 1], TestClock.adjust, { discard: true })
      assert.isTrue(Option.isNone(yield* Fiber.poll(sleeping)))
      yield* TestClock.adjust(Option.getOrThrow(yield* nextTimer(clock)))
      assert.isTrue(Option.isSome(yield* Fiber.poll(sleeping)))
    }))
})
