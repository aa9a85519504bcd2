import { assert, describe, it } from "@effect/vitest"
import { Effect, Ref } from "effect"
import * as Interruption from "../../src/testing/Interruption.js"

const explore = (program: Effect.Effect<unknown>) =>
  Interruption.explore({ setup: Effect.void, program: () => program, invariant: () => Effect.void })

const step = Effect.sleep("1 second")

describe("the verdict of an exploration", () => {
  it.effect("lists apart the points at which Effect's own operators hang", () =>
    Effect.gen(function*() {
      for (
        const [program, reason] of [
          [
            Effect.all([step, step, step], { concurrency: 2 }),
            "Effect's concurrent forEach was interrupted before it forked a fiber, and waits for one forever"
          ],
          [Effect.race(step, Effect.never), "Effect's race never starts fiber 1, and waits for it forever"]
        ] as const
      ) {
        const report = yield* explore(program)
        assert.deepStrictEqual([report.broken, report.hung, report.safe], [[], [], true])
        assert.isNotEmpty(report.hungInEffect)
        assert.deepStrictEqual(new Set(report.hungInEffect.map((point) => point.reason)), new Set([reason]))
        const { hungInEffect: { length }, operations } = report
        assert.deepStrictEqual(String(report).split("\n").slice(0, 3), [
          `safe at ${operations - length} of ${operations} points`,
          `hung by a fault of Effect's at ${length} of ${operations} explored points:`,
          `  ${reason}`
        ])
        yield* Interruption.assertSafe(Effect.succeed(report))
      }
    }))

  it.effect("blames the program for what hangs in those operators by its own fault", () =>
    Effect.gen(function*() {
      const stubborn = Effect.zipRight(step, Effect.uninterruptible(Effect.never))
      for (
        const program of [
          Effect.all([step, stubborn], { concurrency: 2 }),
          Effect.forEach([step, step, stubborn, step], (effect) => effect, { concurrency: 2 }),
          Effect.all([step, Effect.all([step, stubborn], { concurrency: 2 })], { concurrency: "unbounded" }),
          Effect.race(Effect.never, stubborn)
        ]
      ) {
        const report = yield* explore(program)
        assert.strictEqual(report.end, "Idle")
        assert.isFalse(report.safe)
        assert.strictEqual(report.hung.at(-1)?.at, report.operations, String(report))
      }
    }))

  it.effect("shows an acquire that an interruption separates from its finalizer, after a wait too", () =>
    Effect.gen(function*() {
      const leaky = (acquire: (opened: Ref.Ref<number>) => Effect.Effect<void>) =>
        Interruption.explore({
          setup: Ref.make(0),
          program: (opened) =>
            Effect.gen(function*() {
              yield* acquire(opened)
              yield* Effect.addFinalizer(() => Ref.update(opened, (n) => n - 1))
              yield* step
            }),
          invariant: (opened) => Effect.map(Ref.get(opened), (n) => assert.strictEqual(n, 0, "a connection leaked"))
        })
      const open = (opened: Ref.Ref<number>) => Ref.update(opened, (n) => n + 1)
      for (
        const acquire of [open, (opened: Ref.Ref<number>) => Effect.zipRight(step, open(opened))]
      ) {
        const report = yield* leaky(acquire)
        assert.isNotEmpty(report.broken)
        assert.match(report.broken[0]!.reason, /a connection leaked/)
        assert.match(report.broken.at(-1)!.running, /^root: suspend/)
      }
    }))
})
