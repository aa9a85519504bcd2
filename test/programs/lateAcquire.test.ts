// What no scope releases by itself: acquires that end while the service drains, and scopes that nothing closes.
import { type Duration, Effect, Layer } from "effect"
import { assert, describe, it } from "vitest"
import * as Drain from "../../src/core/Drain.js"
import { runInMemory } from "./serviceWorld.js"

const drained = (name: string, acquire: Duration.DurationInput, drain: Duration.DurationInput) =>
  Layer.scopedDiscard(Drain.acquire({ name, acquire: Effect.sleep(acquire), drain: () => Effect.sleep(drain) }))

const database = drained("database", 0, 0)

describe("what is acquired late", () => {
  it("is drained before what it uses is released", async () => {
    const late = drained("late", "1 second", "1 second").pipe(Layer.provide(database))
    const { journal } = await runInMemory(late, [[200, "SIGTERM"]])
    assert.deepStrictEqual(journal.slice(-5), [
      "1s late draining",
      "2s late Drained",
      "2s database draining",
      "2s database Drained",
      "2s app Stopped"
    ])
  })

  const busy = Layer.mergeAll(
    drained("pool", 0, "5 seconds"),
    drained("late", "15 seconds", "5 seconds"),
    drained("later", "19 seconds", "3 seconds")
  )

  it("after the start was abandoned is waited for, while anything is still released", async () => {
    const { exit, report } = await runInMemory(busy, [[1000, "SIGTERM"]])
    assert.deepStrictEqual(report, [
      "SIGTERM: stopped in 21s of 25s",
      "├─ start ━━━━━━━━━━━━━             11.5s  Abandoned 1 cut",
      "│        an acquire ignored its interruption: late, later",
      "├─ pool               ━━━━━━          5s  Drained",
      "├─ late                  ━━━━━━       5s  Drained",
      "└─ later                     ━━━      3s  Drained",
      "exit 1"
    ])
    assert.strictEqual(exit, "22s exit 1")
  })

  it("and so it is when a finalizer fails", async () => {
    const fails = Layer.scopedDiscard(Effect.addFinalizer(() => Effect.die(new Error("no"))))
    const { exit, report } = await runInMemory(busy.pipe(Layer.provide(fails)), [[1000, "SIGTERM"]])
    assert.deepStrictEqual(report, [
      "SIGTERM: stopped in 21s of 25s",
      "├─ start ━━━━━━━━━━━━━             11.5s  Abandoned 1 cut",
      "│        an acquire ignored its interruption: late, later",
      "├─ pool               ━━━━━━          5s  Drained",
      "├─ late                  ━━━━━━       5s  Drained",
      "└─ later                     ━━━      3s  Drained",
      "a finalizer failed: no",
      "exit 1"
    ])
    assert.strictEqual(exit, "22s exit 1")
  })

  const acquires: Record<string, Effect.Effect<void, Error>> = {
    ends: Effect.sleep("5 seconds"),
    fails: Effect.delay(Effect.fail(new Error("unavailable")), "5 seconds")
  }
  for (const [what, acquire] of Object.entries(acquires)) {
    it(`if a finalizer of its layer dies when it ${what}, that is logged and reported`, async () => {
      const dies = Effect.addFinalizer(() => Effect.die(new Error("no")))
      const layer = Layer.scopedDiscard(Effect.zipRight(dies, Effect.uninterruptible(acquire)))
      assert.deepStrictEqual(await runInMemory(layer, [[1000, "SIGTERM"]]), {
        journal: [
          "1s SIGTERM received",
          "1s app shutdown requested: SIGTERM",
          "1s app Draining",
          "5s app Stopped"
        ],
        report: ["SIGTERM: stopped in 4s of 25s", "a finalizer failed: no", "exit 1"],
        log: ["5s ERROR a finalizer failed: no", "5s WARN stopped"],
        exit: "5s exit 1"
      })
    })
  }
})

describe("in a scope that nothing closes", () => {
  const left = (name: string, steps: Drain.Steps<void>) =>
    Layer.effectDiscard(
      Effect.forkDaemon(
        Effect.scoped(Effect.zipRight(Drain.acquire({ name, acquire: Effect.void, ...steps }), Effect.never))
      )
    )

  it("a resource is released after the others, within the budget", async () => {
    const stubborn = left("stubborn", { release: () => Effect.uninterruptible(Effect.never) })
    const cache = left("cache", { drain: () => Effect.sleep("2 seconds") })
    const layer = Layer.mergeAll(stubborn, cache, drained("pool", 0, "1 second"))
    const { exit, report } = await runInMemory(layer, [[1000, "SIGTERM"]])
    assert.deepStrictEqual(report, [
      "SIGTERM: stopped in 8s of 25s",
      "├─ pool     ━━━                          1s  Drained",
      "├─ cache       ━━━━━━                    2s  Drained",
      "└─ stubborn          ━━━━━━━━━━━━━━━     5s  Abandoned 1 cut",
      "            release not done within 5s",
      "exit 1"
    ])
    assert.strictEqual(exit, "9s exit 1")
  })
})
