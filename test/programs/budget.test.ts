import { type Duration, Effect, Layer } from "effect"
import { assert, it } from "vitest"
import * as Drain from "../../src/core/Drain.js"
import type { Options } from "../../src/core/ShutdownConfig.js"
import { runInMemory } from "./serviceWorld.js"

const resource = (name: string, drainTimeout: Duration.DurationInput) =>
  Layer.scopedDiscard(Drain.acquire({ name, drainTimeout, acquire: Effect.void, drain: () => Effect.void }))

const warnings = async (options: Options) => {
  const app = resource("http", "10 seconds").pipe(Layer.provideMerge(resource("importer", "15 seconds")))
  const { log } = await runInMemory(app, [[1000, "SIGTERM"]], options)
  return log
}

it("a grace period that drains one after the other may exceed is drawn, once, when the service runs", async () => {
  const sequence =
    "Drains that run one after the other could take http 10s + importer 15s = 25s; the last ones would be cut short"
  assert.deepStrictEqual(await warnings({ gracePeriod: "30 seconds", preStopDelay: "5 seconds" }), [
    `0ms WARN the grace period of 30s is tight: |- preStopDelay 5s -|----------------- drains 23s -----------------|- reserve 2s -| ${sequence}`
  ])
  assert.deepStrictEqual(await warnings({ gracePeriod: "25 seconds", preStopDelay: 0 }), [
    `0ms WARN the grace period of 25s is tight: |--------------------- drains 23s ----------------------|- reserve 2s -| ${sequence}`
  ])
})

it("a grace period with time for all drains is not drawn", async () => {
  assert.deepStrictEqual(await warnings({ gracePeriod: "27 seconds", preStopDelay: 0 }), [])
})
