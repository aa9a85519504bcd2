import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, TestClock } from "effect"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { until } from "../../kit/until.js"
import { makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}
class Prints extends WorkerPool.Tag("prints")<Prints, string>() {}

describe("Jobs that depend on others", () => {
  it.scoped("and become available while this process drains are left to another process", () =>
    Effect.gen(function*() {
      const { build, entries, lifecycle, note, open, reports } = yield* makeWorld({ durable: true })
      const layer = Letters.layer({
        concurrency: 4,
        process: (letter) => Effect.zipRight(Effect.sleep(letter === "free" ? "2 seconds" : "3 seconds"), note(letter))
      })
      const { context, stop } = yield* build(layer)
      yield* Effect.provide(
        Effect.gen(function*() {
          yield* Letters.offer("first", { id: "first" })
          yield* Letters.offerAll(["second", "free"], { ids: ["second", "free"], dependsOn: [["first"], undefined] })
          yield* until("two run", Effect.map(Letters.status, (_) => _.inFlight), (n) => n === 2)
        }),
        context
      )
      yield* lifecycle.transition("LameDuck")
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(stopping)
      const queue = yield* open("letters")
      assert.deepStrictEqual(Option.map(yield* queue.find("second"), ({ state }) => state), Option.some("Waiting"))
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 2, handedBack: 0, cut: 0 }
      ])
      yield* build(layer, (yield* makeWorld()).lifecycle.shutdown)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(entries, ["2s free", "3s first", "8s second"])
    }))

  it.scoped("run one after the other in a drain over memory; one behind a dead letter is waited for, and counted as cut", () =>
    Effect.gen(function*() {
      const { build, entries, note, reports } = yield* makeWorld()
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 4,
        drainTimeout: "10 seconds",
        permanent: () => true,
        process: (letter) =>
          Effect.sleep(letter === "bad" ? "1500 millis" : "1 second").pipe(
            Effect.zipRight(note(letter)),
            Effect.zipRight(letter === "bad" ? Effect.fail("bad luck") : Effect.void)
          )
      }))
      yield* Effect.provide(
        Effect.gen(function*() {
          yield* Letters.offerAll(["a", "bad"], { ids: ["a", "bad"] })
          yield* Letters.offer("b", { id: "b", dependsOn: ["a"] })
          yield* Letters.offer("c", { dependsOn: ["b"] })
          yield* Letters.offer("never", { dependsOn: ["bad"] })
        }),
        context
      )
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, ["1s a", "1.5s bad", "2s b", "3s c"])
      assert.deepStrictEqual(
        (yield* reports).map(({ cut, finished, outcome }) => [outcome, finished, cut]),
        [["Interrupted", 4, 1]]
      )
    }))

  it.scoped("are offered and awaited, also behind a job of another pool", () =>
    Effect.gen(function*() {
      const { note, entries, scoped } = yield* makeWorld({ durable: true })
      const prints = yield* scoped(Prints.layer({
        concurrency: 1,
        process: (print) => Effect.zipRight(Effect.sleep("2 seconds"), note(print))
      }))
      const letters = yield* scoped(Letters.layer({ concurrency: 1, process: note }))
      const id = yield* Effect.provide(Prints.offer("print"), prints)
      const waiting = yield* Effect.fork(
        Effect.provide(Letters.offerAndWait("send", { dependsOn: [{ queue: "prints", id }] }), letters)
      )
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(entries, ["2s print", "2s send"])
    }))
})
