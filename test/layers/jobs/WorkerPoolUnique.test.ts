import { assert, describe, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { makeWorld } from "./WorkerPoolWorld.js"

class Reports extends WorkerPool.Tag("reports")<Reports, string>() {}

describe("A job that is unique for a period", () => {
  it.scoped("runs once in it, also when the process that ran it has drained and another one goes on", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld({ durable: true })
      const web = yield* build(Reports.layerClient())
      const workers = Reports.layer({ concurrency: 1, process: note })
      const offer = (job: string) =>
        Reports.offer(job, { id: "daily", uniqueFor: "1 hour" }).pipe(Effect.provide(web.context))
      const first = yield* build(workers)
      yield* offer("a")
      yield* TestClock.adjust("10 minutes")
      yield* offer("b")
      yield* first.stop
      const next = yield* makeWorld()
      yield* build(workers, next.lifecycle.shutdown)
      yield* TestClock.adjust("49 minutes")
      yield* offer("c")
      yield* TestClock.adjust("2 minutes")
      yield* offer("d")
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(entries, ["0s a", "3660s d"])
    }))

  it.scoped("is refused without an id, and with a period that is not above zero", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld({ durable: true })
      const { context } = yield* build(Reports.layerClient())
      const { message } = yield* Effect.flip(Effect.provide(Reports.offer("a", { uniqueFor: "1 hour" }), context))
      assert.strictEqual(message, "reports: offer failed: uniqueFor needs an id: it is what is unique")
      const exit = yield* Effect.exit(Effect.provide(Reports.offer("a", { id: "a", uniqueFor: 0 }), context))
      assert.match(String(exit), /reports: uniqueFor is 0, and must be a finite duration above zero/)
    }))
})
