import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, Option, Schedule, Scope } from "effect"
import * as Lifecycle from "../../../../src/core/Lifecycle.js"
import { Shutdown } from "../../../../src/core/Shutdown.js"
import type { JobContext } from "../../../../src/layers/jobs/JobContext.js"
import type { JobEvent } from "../../../../src/layers/jobs/JobEvent.js"
import { JobSource } from "../../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../../src/layers/jobs/WorkerPool.js"
import { describeEngines, source, twoProcesses } from "./JobSourceSqlWorld.js"

class Pool extends WorkerPool.Tag("transactions")<Pool, string, number>() {}

const endings = ["Succeeded", "Retried", "Snoozed", "DeadLettered", "HandedBack", "LeaseLost", "Cut", "Abandoned"]

describeEngines("JobContext", (databases) => {
  /** Runs one job, which is retried once, and returns its events, what it has written, and the row that is left of it. */
  const run = (
    process: (
      context: JobContext<number>,
      world: {
        readonly write: (what: string) => Effect.Effect<unknown, unknown>
        readonly transaction: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, unknown>
        /** Begins the drain of the pool. */
        readonly quiesce: Effect.Effect<void>
      }
    ) => Effect.Effect<unknown, unknown>
  ) =>
    Effect.gen(function*() {
      const { one, sql, write, written } = yield* twoProcesses(databases, { name: "transactions" })
      const lifecycle = yield* Lifecycle.make()
      const events: Array<string> = []
      const ended = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const [first] = yield* databases
      yield* Layer.build(Pool.layer({
        concurrency: 1,
        retry: Schedule.recurs(0),
        onEvent: (event: JobEvent): Effect.Effect<unknown> => {
          if ("attempt" in event) events.push(event._tag + ("cursor" in event ? ` ${event.cursor}` : ""))
          return endings.includes(event._tag) ? Deferred.succeed(ended, void 0) : Effect.void
        },
        process: (_, context) =>
          process(context, {
            write,
            transaction: sql.withTransaction,
            quiesce: Effect.zipRight(lifecycle.transition("LameDuck"), context.draining)
          })
      })).pipe(
        Scope.extend(scope),
        Effect.provideService(JobSource, yield* source(first)),
        Effect.provideService(Shutdown, lifecycle.shutdown)
      )
      const [id] = yield* one.offer(["job"])
      yield* Deferred.await(ended)
      yield* Scope.close(scope, Exit.void)
      const row = Option.map(yield* one.find(id!), ({ cursor, state }) => [state, Option.getOrNull(cursor)])
      yield* one.deadLetters.discard([id!])
      const rest = yield* one.claim(1)
      yield* Effect.forEach(rest, (claim) => one.transact(claim, Effect.void, { _tag: "Ack" }))
      return { events, written: yield* written, row: Option.getOrNull(row) }
    })

  describe("in a transaction of the process", () => {
    it.scopedLive("snooze takes effect with the commit, and then the process is interrupted", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(
          yield* run(({ snooze }, { transaction, write }) =>
            Effect.zipRight(
              transaction(Effect.zipRight(snooze("1 hour", { cursor: 3 }), write("a"))),
              write("not interrupted")
            )
          ),
          { events: ["Started", "Snoozed"], written: ["a"], row: ["Delayed", 3] }
        )
      }))

    it.scopedLive("snooze is undone when the transaction fails afterwards, and the job has failed", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(
          yield* run(({ snooze }, { transaction }) =>
            transaction(Effect.zipRight(snooze("1 hour", { cursor: 3 }), Effect.fail("later")))
          ),
          { events: ["Started", "DeadLettered"], written: [], row: ["Dead", null] }
        )
      }))

    it.scopedLive("complete is reported after the commit", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(
          yield* run(({ complete }, { transaction, write }) =>
            transaction(Effect.zipRight(complete(write("a")), write("b")))
          ),
          { events: ["Started", "Succeeded"], written: ["a", "b"], row: null }
        )
      }))

    it.scopedLive("complete is undone when the transaction fails afterwards, and the job has failed", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(
          yield* run(({ complete }, { transaction, write }) =>
            transaction(Effect.zipRight(complete(write("a")), Effect.fail("later")))
          ),
          { events: ["Started", "DeadLettered"], written: [], row: ["Dead", null] }
        )
      }))

    it.scopedLive("complete is undone with the savepoint around it", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(
          yield* run(({ complete }, { transaction, write }) =>
            transaction(Effect.zipRight(
              Effect.ignore(transaction(Effect.zipRight(complete(write("a")), Effect.fail("inner")))),
              write("b")
            ))
          ),
          { events: ["Started", "DeadLettered"], written: ["b"], row: ["Dead", null] }
        )
      }))

    it.scopedLive("checkpoint is undone when the transaction fails afterwards", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(
          yield* run(({ checkpoint }, { transaction, write }) =>
            Effect.zipRight(
              checkpoint(1, write("a")),
              transaction(Effect.zipRight(checkpoint(2, write("b")), Effect.fail("later")))
            )
          ),
          { events: ["Started", "Checkpointed 1", "DeadLettered"], written: ["a"], row: ["Dead", 1] }
        )
      }))

    it.scopedLive("checkpoint of a draining pool hands the job back after the commit, with all that was written", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(
          yield* run(({ checkpoint }, { quiesce, transaction, write }) =>
            Effect.zipRight(
              quiesce,
              transaction(Effect.zipRight(checkpoint(1, write("a")), write("b")))
            )
          ),
          { events: ["Started", "Checkpointed 1", "HandedBack"], written: ["a", "b"], row: ["Waiting", 1] }
        )
      }))
  })

  it.scopedLive("a process that swallows the failure of complete has failed", () =>
    Effect.gen(function*() {
      const failed = { events: ["Started", "DeadLettered"], written: [], row: ["Dead", null] }
      assert.deepStrictEqual(
        yield* run(({ complete }, { write }) =>
          Effect.ignore(complete(Effect.zipRight(write("a"), Effect.fail("no"))))
        ),
        failed
      )
      assert.deepStrictEqual(
        yield* run(({ complete }, { transaction, write }) =>
          Effect.ignore(transaction(Effect.zipRight(complete(write("a")), Effect.fail("later"))))
        ),
        failed
      )
      assert.deepStrictEqual(
        yield* run(({ complete }, { write }) =>
          Effect.catchAll(complete(Effect.fail("no")), () => complete(write("b")))
        ),
        { events: ["Started", "Succeeded"], written: ["b"], row: null }
      )
    }))
})
