import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"

/** The program for a report to Effect. It runs on the stock scheduler, whose fibers yield after 2048 operations. */
const hangs = async (effect: Effect.Effect<unknown>, operationsBeforeYield: number): Promise<boolean> => {
  for (let operations = operationsBeforeYield; operations < 2048; operations++) {
    const next = effect
    effect = Effect.suspend(() => next)
  }
  const fiber = Effect.runFork(effect)
  Effect.runFork(Fiber.interruptFork(fiber))
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setTimeout(resolve))
  return fiber.unsafePoll() === null
}

const countHangs = async (effect: Effect.Effect<unknown>): Promise<number> =>
  (await Promise.all(Array.from({ length: 60 }, (_, operations) => hangs(effect, operations)))).filter(Boolean).length

describe("faults of Effect 3.22 that Interruption.explore lists apart", () => {
  const mended = "Effect has mended it: remove what FiberTrace does about it, and this test"

  it("Effect.all with concurrency hangs if it is interrupted at a yield before it forks", async () => {
    assert.notStrictEqual(await countHangs(Effect.all([Effect.never, Effect.never], { concurrency: 2 })), 0, mended)
  })

  it("a race hangs if it is interrupted at a yield before its fibers are started", async () => {
    assert.notStrictEqual(await countHangs(Effect.raceFirst(Effect.never, Effect.never)), 0, mended)
  })

  it("Effect.all without concurrency does not hang", async () => {
    assert.strictEqual(await countHangs(Effect.all([Effect.never, Effect.never])), 0)
  })
})
