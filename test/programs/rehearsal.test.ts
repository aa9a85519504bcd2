import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Logger, Ref, TestClock } from "effect"
import * as Lifecycle from "../../src/core/Lifecycle.js"
import { rehearse } from "../../src/programs/internal/rehearsal.js"

/** Runs the rehearsal of a service for this long, and returns its exit if it ended, what was logged, and the journal. */
const rehearsed = (seconds: number, then: (lifecycle: Lifecycle.Lifecycle) => Effect.Effect<void>) =>
  Effect.gen(function*() {
    const logged = yield* Ref.make<ReadonlyArray<unknown>>([])
    const logger = Logger.make(({ message }) => void Effect.runSync(Ref.update(logged, (all) => [...all, message])))
    const lifecycle = yield* Lifecycle.make()
    const fiber = yield* Effect.fork(
      Effect.provide(rehearse(lifecycle), Logger.replace(Logger.defaultLogger, logger))
    )
    yield* lifecycle.transition("Running")
    for (let step = 0; step < seconds * 10; step++) yield* TestClock.adjust("100 millis")
    yield* then(lifecycle)
    yield* TestClock.adjust(0)
    const { events } = yield* lifecycle.snapshot
    const exit = yield* Fiber.poll(fiber)
    return { exit, logged: yield* Ref.get(logged), events: events.map(({ subject, what }) => `${subject} ${what}`) }
  })

describe("the rehearsal of the shutdown", () => {
  it.effect("leaves no trace in the journal or in the log, and ends", () =>
    Effect.gen(function*() {
      const { events, exit, logged } = yield* rehearsed(5, () => Effect.void)
      assert.deepStrictEqual(events, ["app Running"])
      assert.deepStrictEqual(logged, [])
      assert.deepInclude(exit, { _tag: "Some", value: Exit.void })
    }))

  it.effect("ends when a shutdown begins", () =>
    Effect.gen(function*() {
      const { events, exit } = yield* rehearsed(0.5, ({ shutdown }) => shutdown.begin({ reason: "test" }))
      assert.deepStrictEqual(events, ["app Running", "app shutdown requested: test"])
      assert.deepInclude(exit, { _tag: "Some", value: Exit.void })
    }))
})
