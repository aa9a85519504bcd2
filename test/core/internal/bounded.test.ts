import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Fiber, Option, TestClock } from "effect"
import { bounded } from "../../../src/core/internal/bounded.js"
import * as Interruption from "../../../src/testing/Interruption.js"

const never = Effect.never
const works = {
  "a promise that never settles": { work: Effect.promise(() => new Promise<void>(() => {})), ends: false },
  "an uninterruptible region": { work: Effect.uninterruptible(never), ends: false },
  "uninterruptible work that goes on": { work: Effect.uninterruptible(Effect.forever(Effect.sleep(100))), ends: false },
  "work that ends in time": { work: Effect.sleep(300), ends: true }
}
const cuts = {
  "no cut": { cut: undefined, at: 1000 },
  "a cut that never comes": { cut: never, at: 1000 },
  "a cut awaited uninterruptibly": { cut: Effect.uninterruptible(never), at: 1000 },
  "a cut after half the time": { cut: Effect.sleep(500), at: 500 }
}

/** The duration of a bounded wait in a finalizer, and whether its work had ended. */
const finalizer = (work: Effect.Effect<void>, cut: Effect.Effect<void> | undefined, interrupted: boolean) =>
  Effect.gen(function*() {
    const seen = yield* Deferred.make<readonly [number, boolean]>()
    const scoped = Effect.addFinalizer(() =>
      Effect.gen(function*() {
        const from = yield* Clock.currentTimeMillis
        const exit = yield* bounded({ within: "1 second", ...(cut === undefined ? {} : { cut }) })(work)
        yield* Deferred.succeed(seen, [(yield* Clock.currentTimeMillis) - from, Option.isSome(exit)] as const)
      })
    )
    const fiber = yield* Effect.forkDaemon(Effect.scoped(Effect.zipRight(scoped, interrupted ? never : Effect.void)))
    yield* TestClock.adjust(0)
    if (interrupted) yield* Fiber.interruptFork(fiber)
    yield* TestClock.adjust("300 millis")
    yield* TestClock.adjust("200 millis")
    yield* TestClock.adjust("500 millis")
    return yield* Deferred.await(seen)
  })

describe("bounded", () => {
  for (const [what, { ends, work }] of Object.entries(works)) {
    for (const [how, { at, cut }] of Object.entries(cuts)) {
      for (const interrupted of [false, true]) {
        it.effect(`bounds ${what}, with ${how}, on ${interrupted ? "an interrupted" : "a running"} fiber`, () =>
          Effect.gen(function*() {
            assert.deepStrictEqual(yield* finalizer(work, cut, interrupted), ends ? [300, true] : [at, false])
          }))
      }
    }
  }

  it.effect("completes synchronous work within a bound of zero", () =>
    Effect.gen(function*() {
      const exit = yield* bounded({ within: 0 })(Effect.succeed("done"))
      assert.isTrue(Option.isSome(exit))
    }))

  it.effect("work that does not wait ends before a cut that has completed already", () =>
    Effect.gen(function*() {
      const exit = yield* bounded({ within: "1 second", cut: Effect.void })(Effect.succeed("done"))
      assert.isTrue(Option.isSome(exit))
    }))

  it.live("a finalizer runs to its end after two interruptions at any point", () =>
    Interruption.explore({
      setup: Effect.sync(() => ({ opened: 0, closed: 0 })),
      program: (count) =>
        Effect.acquireRelease(
          Effect.sync(() => void count.opened++),
          () =>
            bounded({ within: "1 second" })(Effect.sleep("10 millis")).pipe(
              Effect.zipRight(bounded({ within: "1 second" })(never)),
              Effect.zipRight(Effect.sync(() => void count.closed++))
            )
        ).pipe(Effect.scoped),
      inject: (_, root) => Effect.zipRight(Fiber.interruptFork(root), Fiber.interruptFork(root)),
      invariant: (count) => Effect.delay(Effect.sync(() => assert.strictEqual(count.closed, count.opened)), "1 minute")
    }).pipe(Interruption.assertSafe))
})
