import { assert } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { ack, type Suite } from "./suite.js"

/** What is committed together. */
export const transactionsConform = (suite: Suite) => {
  const { conditions, eventually, hearCancels, test } = suite

  test("writes that fail, die or are interrupted settle nothing", ({ mine, write, written }) =>
    Effect.gen(function*() {
      yield* mine.offer(["job"])
      const [claim] = yield* mine.claim(1)
      const failing = (ending: Effect.Effect<never, string>) =>
        Effect.exit(mine.transact(claim!, Effect.zipRight(write("lost"), ending), ack))
      assert.strictEqual(yield* Effect.flip(mine.transact(claim!, Effect.fail("typed"), ack)), "typed")
      assert.isTrue(Exit.isFailure(yield* failing(Effect.fail("typed"))))
      assert.isTrue(Exit.isFailure(yield* failing(Effect.die("defect"))))
      const begun = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(failing(Effect.zipRight(Deferred.succeed(begun, void 0), Effect.never)))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      if (conditions.transactional) assert.deepStrictEqual(yield* written, [])
      assert.deepStrictEqual(yield* mine.renew([claim!]), [])
      yield* mine.transact(claim!, write("kept"), ack)
      assert.strictEqual((yield* written).at(-1), "kept")
    }))

  if (!conditions.transactional) return

  test("an offer and a redrive join the caller's transaction", ({ mine, transaction }) =>
    Effect.gen(function*() {
      assert.isDefined(transaction)
      yield* Effect.exit(transaction!(Effect.zipRight(mine.offer(["rolled back"]), Effect.fail("no"))))
      assert.deepStrictEqual(yield* mine.claim(9), [])
      yield* transaction!(mine.offer(["committed"]))
      const [claim] = yield* mine.claim(9)
      assert.strictEqual(claim!.payload, "committed")
      yield* mine.deadLetter(claim!, "no")
      yield* Effect.exit(transaction!(Effect.zipRight(mine.deadLetters.redrive([claim!.id]), Effect.fail("no"))))
      assert.strictEqual((yield* mine.deadLetters.list(9)).length, 1)
    }))

  test("a cancel joins the caller's transaction, and nobody is told of one that is rolled back", (fixture) =>
    Effect.gen(function*() {
      const { mine, theirs, transaction } = fixture
      const heard = yield* hearCancels(fixture)
      yield* mine.offer(["a", "b"], { ids: ["a", "b"] })
      const [a, b] = yield* mine.claim(2)
      yield* Effect.exit(transaction!(Effect.zipRight(theirs.cancel(["a"]), Effect.fail("no"))))
      yield* transaction!(theirs.cancel(["b"]))
      yield* eventually(Effect.sync(() => heard.includes(b!.token)), (told) => told)
      assert.notInclude(heard, a!.token)
      yield* mine.transact(a!, Effect.void, ack)
    }))
}
