import { assert } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Option } from "effect"
import type { Claim } from "../../../src/layers/jobs/JobSource.js"
import { ack, payloads, type Suite } from "./suite.js"

const tagOf = (error: unknown) => (error as { readonly _tag?: string })._tag

/** Jobs that are cancelled. */
export const cancelsConform = (suite: Suite) => {
  const { conditions, eventually, hearCancels, lease, lose, passTime, test } = suite

  test("a job that waits, whatever for, is removed when it is cancelled, and its id is free at once", ({ mine, theirs }) =>
    Effect.gen(function*() {
      const ids = ["waits", "is delayed", "was handed back", "is left"]
      yield* mine.offer(["a"], { ids: ids.slice(0, 1) })
      yield* mine.offer(["b"], { ids: ids.slice(1, 2), delay: Duration.times(lease, 0.2) })
      yield* mine.offer(["c", "d"], { ids: ids.slice(2) })
      yield* mine.handBack(yield* mine.claim(3))
      assert.strictEqual(yield* theirs.cancel([...ids.slice(0, 3), ids[0]!, "unknown"]), 3)
      assert.strictEqual(yield* theirs.cancel(ids.slice(0, 3)), 0)
      assert.deepStrictEqual([yield* mine.size, yield* mine.find(ids[0]!)], [1, Option.none()])
      yield* passTime(Duration.times(lease, 0.5))
      assert.deepStrictEqual(payloads(yield* mine.claim(9)), ["d"])
      yield* mine.offer(["anew"], { ids: ids.slice(0, 1) })
      assert.deepStrictEqual(payloads(yield* mine.claim(9)), ["anew"])
    }))

  test(
    "an orphan, and a job of a later priority, are removed when they are cancelled",
    (fixture) =>
      Effect.gen(function*() {
        const { mine, sources, theirs } = fixture
        const { won } = yield* lose(fixture)
        yield* theirs.handBack([won])
        const [id] = yield* mine.offer(["later"], sources[0].priorities ? { priority: 7 } : {})
        assert.strictEqual(yield* mine.cancel([won.id, id!]), 2)
        assert.deepStrictEqual([yield* mine.claim(9), yield* mine.size], [[], 0])
      }),
    "expiring"
  )

  test("a job that runs in another process is removed, all processes are told, and its claim settles nothing", (fixture) =>
    Effect.gen(function*() {
      const { mine, theirs, write, written } = fixture
      const heard = yield* hearCancels(fixture)
      yield* mine.offer(["a", "b"], { ids: ["a", "b"] })
      const [a, b] = yield* mine.claim(2)
      assert.strictEqual(yield* theirs.cancel(["a"]), 1)
      yield* eventually(Effect.sync(() => heard.includes(a!.token)), (told) => told)
      assert.notInclude(heard, b!.token)
      assert.deepStrictEqual(yield* mine.renew([a!, b!]), [a])
      const refusals = yield* Effect.all([
        Effect.flip(mine.transact(a!, write("late"), ack)),
        Effect.flip(mine.retry(a!, { delay: Duration.zero, error: "late" })),
        Effect.flip(mine.deadLetter(a!, "late"))
      ])
      assert.deepStrictEqual(refusals.map(tagOf), Array(3).fill("LeaseLost"))
      assert.deepStrictEqual(yield* mine.handBack([a!]), [a])
      assert.deepStrictEqual(yield* written, [])
      yield* mine.offer(["anew"], { ids: ["a"] })
      assert.deepStrictEqual((yield* theirs.claim(9)).map(({ attempt, payload }) => [payload, attempt]), [["anew", 1]])
      yield* mine.transact(b!, Effect.void, ack)
    }))

  test("dead letters and acknowledged jobs are not cancelled", ({ mine }) =>
    Effect.gen(function*() {
      const ids = ["dead", "done"]
      yield* mine.offer(ids, { ids })
      const [dead, done] = yield* mine.claim(2)
      yield* mine.deadLetter(dead!, "no")
      yield* mine.transact(done!, Effect.void, ack)
      assert.strictEqual(yield* mine.cancel(ids), 0)
      assert.strictEqual((yield* mine.deadLetters.list(9)).length, 1)
      yield* mine.offer(ids, { ids })
      assert.deepStrictEqual(yield* mine.claim(9), [])
    }))

  test("a job whose writes are under way is either cancelled or acknowledged", ({ mine, theirs, write, written }) =>
    Effect.gen(function*() {
      yield* mine.offer(["job"])
      const [claim] = yield* mine.claim(1)
      const begun = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const writes = Effect.all([write("a"), Deferred.succeed(begun, void 0), Deferred.await(go)])
      const settling = yield* Effect.fork(Effect.exit(mine.transact(claim as Claim, writes, ack)))
      yield* Deferred.await(begun)
      // Where the engine has one connection, it waits for the transaction.
      const cancelling = yield* Effect.fork(theirs.cancel([claim!.id]))
      yield* passTime(Duration.times(lease, 0.1))
      yield* Deferred.succeed(go, void 0)
      const acknowledged = Exit.isSuccess(yield* Fiber.join(settling))
      assert.strictEqual(yield* Fiber.join(cancelling), acknowledged ? 0 : 1)
      if (conditions.transactional) assert.deepStrictEqual(yield* written, acknowledged ? ["a"] : [])
      assert.deepStrictEqual([yield* mine.claim(9), yield* mine.size], [[], 0])
    }))
}
