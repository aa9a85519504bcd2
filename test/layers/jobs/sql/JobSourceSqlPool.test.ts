import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { JobSource, type Settlement } from "../../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../../src/layers/jobs/WorkerPool.js"
import { aroundStatements } from "../../../kit/aroundStatements.js"
import { takeWaiting } from "../JobSourceWorld.js"
import { describeEngines, source, twoProcesses } from "./JobSourceSqlWorld.js"

const ack: Settlement = { _tag: "Ack" }

describeEngines("A pool over JobSourceSql", (databases) => {
  class Pool extends WorkerPool.Tag("pool-over-sql")<Pool, string>() {}

  it.scopedLive("a job that ignores its interruption runs in another process at once, and its late writes are refused", () =>
    Effect.gen(function*() {
      const { one, other, write, written } = yield* twoProcesses(databases, { name: "pool-over-sql" })
      const [first] = yield* databases
      const begun = yield* Deferred.make<void>()
      const elsewhere = yield* Deferred.make<void>()
      const refused = yield* Deferred.make<string>()
      const scope = yield* Scope.make()
      yield* Layer.build(Pool.layer({
        concurrency: 1,
        drainTimeout: "50 millis",
        releaseTimeout: "50 millis",
        process: (_, { complete }) =>
          Deferred.succeed(begun, void 0).pipe(
            Effect.zipRight(Deferred.await(elsewhere)),
            Effect.zipRight(complete(write("late"))),
            Effect.catchAll((error) => Deferred.succeed(refused, String(error))),
            Effect.uninterruptible
          )
      })).pipe(Scope.extend(scope), Effect.provideService(JobSource, yield* source(first)))
      yield* one.offer(["job"])
      yield* Deferred.await(begun)
      const taken = yield* takeWaiting(other)
      yield* Scope.close(scope, Exit.void)
      const claim = yield* Fiber.join(taken)
      assert.strictEqual(claim.attempt, 1)
      yield* other.transact(claim, write("elsewhere"), ack)
      yield* Deferred.succeed(elsewhere, void 0)
      assert.match(yield* Deferred.await(refused), /Its work was abandoned/)
      assert.deepStrictEqual(yield* written, ["elsewhere"])
    }))

  it.scopedLive("a job begins before it is known when the next one is due", () =>
    Effect.gen(function*() {
      const { one } = yield* twoProcesses(databases, { name: "pool-over-sql" })
      const [, second] = yield* databases
      const begun = yield* Deferred.make<string>()
      const answered = yield* Deferred.make<void>()
      let isHeld = false
      const sql = aroundStatements(second.sql, (statement, text) =>
        isHeld && text.includes("AS due") ? Effect.zipRight(Deferred.await(answered), statement) : statement)
      const pool = Pool.layer({
        concurrency: 2,
        process: (job) =>
          Deferred.succeed(begun, job)
      })
      yield* Effect.provideService(Layer.build(pool), JobSource, yield* source({ ...second, sql }))
      isHeld = true
      yield* one.offer(["job"])
      assert.strictEqual(yield* Deferred.await(begun), "job")
      yield* Deferred.succeed(answered, void 0)
    }))
})
