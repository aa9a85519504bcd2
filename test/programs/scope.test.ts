// What finalizers in no Drain take of a shutdown.
import { Duration, Effect, Layer } from "effect"
import { assert, describe, it } from "vitest"
import * as Drain from "../../src/core/Drain.js"
import type { BudgetError } from "../../src/core/ShutdownConfig.js"
import { runInMemory } from "./serviceWorld.js"

const drained = (name: string, takes: Duration.DurationInput = 0) =>
  Layer.scopedDiscard(Drain.acquire({ name, acquire: Effect.void, drain: () => Effect.sleep(takes) }))

const finalizer = (takes: Duration.DurationInput) => Layer.scopedDiscard(Effect.addFinalizer(() => Effect.sleep(takes)))

/** Released in this order. */
const inOrder = (first: Layer.Layer<never, BudgetError>, ...others: ReadonlyArray<Layer.Layer<never, BudgetError>>) =>
  others.reduce((above, below) => Layer.provideMerge(above, below), first)

const stopped = (layer: Layer.Layer<never, BudgetError>) => runInMemory(layer, [[1000, "SIGTERM"]])

describe("Finalizers in no Drain", () => {
  it("are reported as `scope` where they take half a second or more, with what was released after them", async () => {
    const { report } = await stopped(
      inOrder(finalizer("2 seconds"), drained("http", "1 second"), finalizer("3 seconds"), drained("database"))
    )
    assert.deepStrictEqual(report, [
      "SIGTERM: stopped in 6s of 25s",
      "├─ scope    ━━━━━━━━                     2s  Drained",
      "│           finalizers in no Drain, before http",
      "├─ http             ━━━━                 1s  Drained",
      "├─ scope-2              ━━━━━━━━━━━━     3s  Drained",
      "│           finalizers in no Drain, before database",
      "└─ database                        ━    0ms  Drained",
      "exit 0"
    ])
  })

  it("are reported after the last Drain, too", async () => {
    const { report } = await stopped(inOrder(drained("http", "1 second"), finalizer("700 millis")))
    assert.deepStrictEqual(report, [
      "SIGTERM: stopped in 1.7s of 25s",
      "├─ http  ━━━━━━━━━━━━━━               1s  Drained",
      "└─ scope               ━━━━━━━━━━  700ms  Drained",
      "         finalizers in no Drain",
      "exit 0"
    ])
  })

  it("are not reported where they are quick", async () => {
    const { report } = await stopped(
      inOrder(finalizer("499 millis"), drained("http", "1 second"), finalizer("100 millis"))
    )
    assert.deepStrictEqual(report, [
      "SIGTERM: stopped in 1.6s of 25s",
      "└─ http        ━━━━━━━━━━━━━━━       1s  Drained",
      "exit 0"
    ])
  })

  it("are reported as abandoned where one hangs, with the time for which it was waited", async () => {
    const { report } = await stopped(
      inOrder(finalizer("1 second"), drained("http", "1 second"), finalizer(Duration.infinity), drained("database"))
    )
    assert.deepStrictEqual(report, [
      "SIGTERM: stopped in 24.5s of 25s",
      "├─ scope    ━                            1s  Drained",
      "│           finalizers in no Drain, before http",
      "├─ http     ━                            1s  Drained",
      "├─ scope-2   ━━━━━━━━━━━━━━━━━━━━━━   22.5s  Abandoned 1 cut",
      "│           a finalizer that is not bounded by a Drain did not end",
      "└─ database                        ━    0ms  Interrupted 1 cut",
      "            drain not done within 0ms",
      "exit 1"
    ])
  })

  it("do not count while a Drain is released beside them", async () => {
    const { report } = await stopped(Layer.merge(finalizer("2 seconds"), drained("http", "3 seconds")))
    assert.deepStrictEqual(report, [
      "SIGTERM: stopped in 3s of 25s",
      "└─ http ━━━━━━━━━━━━━━━━━━━━━━━━     3s  Drained",
      "exit 0"
    ])
  })
})
