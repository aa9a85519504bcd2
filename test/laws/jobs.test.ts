import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Ref, TestClock } from "effect"
import { JobSource } from "../../src/layers/jobs/JobSource.js"
import * as JobSourceMemory from "../../src/layers/jobs/JobSourceMemory.js"
import * as WorkerPool from "../../src/layers/jobs/WorkerPool.js"
import * as TestApp from "../../src/testing/TestApp.js"

class Importer extends WorkerPool.Tag("importer")<Importer, string>() {}

/** A source that outlives the apps that use it, and the attempts of its jobs. */
const world = Effect.gen(function*() {
  const source = yield* Layer.build(JobSourceMemory.layer({ durable: true }))
  const attempts = yield* Ref.make<ReadonlyArray<number>>([])
  const started = yield* Deferred.make<void>()
  const app = Importer.layer({
    concurrency: 1,
    drainTimeout: "1 second",
    process: (_, { attempt }) =>
      Ref.update(attempts, (all) => [...all, attempt]).pipe(
        Effect.zipRight(Deferred.succeed(started, void 0)),
        Effect.zipRight(Effect.sleep("10 seconds"))
      )
  }).pipe(Layer.provide(Layer.succeedContext(source)))
  const queue = yield* Effect.flatMap(JobSource, (_) => _.open({ name: "importer" })).pipe(Effect.provide(source))
  return { app, attempts, queue, started }
})

describe("law 4: an interruption spends no attempt, the death of a process does, and neither can write afterwards", () => {
  it.scoped("an interrupted job runs again in the same attempt", () =>
    Effect.gen(function*() {
      const { app, attempts, queue, started } = yield* world
      yield* queue.offer(["a"])
      const first = yield* TestApp.start(app)
      yield* Deferred.await(started)
      yield* first.signal("SIGTERM")
      assert.deepStrictEqual((yield* first.report).drains.map((drain) => [drain.outcome, drain.handedBack]), [
        ["Interrupted", 1]
      ])
      const second = yield* TestApp.start(app)
      yield* TestClock.adjust("10 seconds")
      yield* second.signal("SIGTERM")
      yield* second.report
      assert.deepStrictEqual(yield* Ref.get(attempts), [1, 1])
      assert.strictEqual(yield* queue.size, 0)
    }))

  it.scoped("a job of a dead process runs again in the next attempt, and the dead process can no longer write", () =>
    Effect.gen(function*() {
      const { app, attempts, queue } = yield* world
      yield* queue.offer(["a"])
      // A process claims a job, and dies.
      const [dead] = yield* queue.claim(1)
      const next = yield* TestApp.start(app)
      yield* TestClock.adjust("15 seconds")
      assert.deepStrictEqual(yield* Ref.get(attempts), [2])
      const written = yield* Ref.make(false)
      const refused = yield* Effect.either(queue.transact(dead!, Ref.set(written, true), { _tag: "Ack" }))
      assert.strictEqual(refused._tag, "Left")
      assert.isFalse(yield* Ref.get(written))
      yield* next.signal("SIGTERM")
      yield* next.report
    }))
})
