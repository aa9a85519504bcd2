import { assert } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Fiber, Option } from "effect"
import type { Claim } from "../../../src/layers/jobs/JobSource.js"
import { ack, payloads, type Suite } from "./suite.js"

/** What is refused of an offer, and which ids a queue keeps. */
export const idsConform = (suite: Suite) => {
  const { claimed, conditions, lease, passTime, test } = suite

  test(
    "offering an id that the queue has changes nothing, until its job is acknowledged",
    ({ mine, theirs }) =>
      Effect.gen(function*() {
        const uuid = "018f4e2a-0000-7000-8000-000000000000"
        const ids = [uuid, "order: 42"]
        assert.deepStrictEqual(yield* mine.offer(["a", "b"], { ids }), ids)
        const offerAgain = mine.offer(["A", "B", "c"], { ids: [...ids, "c"], keepIdFor: 0 })
        assert.deepStrictEqual(yield* offerAgain, [...ids, "c"])
        const claims = yield* theirs.claim(9)
        assert.deepStrictEqual(claims.map(({ id, payload }) => [id, payload]), [
          [uuid, "a"],
          ["order: 42", "b"],
          ["c", "c"]
        ])
        yield* offerAgain
        yield* theirs.retry(claims[0]!, { delay: Duration.minutes(1), error: "bad luck" })
        yield* theirs.deadLetter(claims[1]!, "no")
        yield* offerAgain
        assert.deepStrictEqual(yield* theirs.claim(9), [])
        yield* theirs.transact(claims[2]!, Effect.void, ack)
        yield* offerAgain
        assert.deepStrictEqual(payloads(yield* theirs.claim(9)), ["c"])
      })
  )

  test(
    "an id is kept for a while after its job was acknowledged, and offering it again changes nothing",
    ({ mine, theirs }) =>
      Effect.gen(function*() {
        const keepIdFor = Duration.times(lease, 1.5)
        const acknowledge = (claim: Claim | undefined) => mine.transact(claim!, Effect.void, ack)
        for (const _ of [1, 2]) {
          yield* mine.offer(["once"], { ids: ["by name"], keepIdFor })
          yield* mine.offer(["once"], { ids: ["by default"] })
          const claims = [...yield* claimed(mine), ...yield* mine.claim(9)]
          yield* mine.retry(claims[0]!, { delay: Duration.zero, error: "bad luck" })
          yield* acknowledge((yield* claimed(mine))[0])
          yield* Effect.forEach(claims.slice(1), acknowledge)
          yield* theirs.offer(["twice", "twice"], { ids: ["by name", "by default"] })
          assert.deepStrictEqual(yield* theirs.claim(9), [])
          assert.deepStrictEqual([yield* theirs.size, yield* theirs.find("by name")], [0, Option.none()])
          yield* passTime(Duration.times(keepIdFor, 1.1))
        }
        yield* theirs.offer(["free", "not free"], { ids: ["by name", "by default"], keepIdFor })
        assert.deepStrictEqual(payloads(yield* claimed(theirs, 9)), ["free"])
      })
  )

  test("an id that the engine makes is none that was given", ({ mine }) =>
    Effect.gen(function*() {
      const given = Array.from({ length: 20 }, (_, n) => String(n))
      yield* mine.offer(given, { ids: given })
      yield* mine.offer(["made"])
      yield* mine.offer(["20", "21", "22", "23"], { ids: ["20", "21", "22", "23"] })
      assert.strictEqual(yield* mine.size, 25)
    }))

  test("an id that is offered while its job is being acknowledged is kept as well", ({ mine, theirs }) =>
    Effect.gen(function*() {
      const ids = ["order: 42"]
      yield* mine.offer(["once"], { ids })
      const [claim] = yield* mine.claim(1)
      const writes = Effect.zipLeft(
        Effect.fork(theirs.offer(["twice"], { ids })),
        Effect.repeatN(Effect.yieldNow(), 20)
      )
      const offer = yield* mine.transact(claim!, writes, ack)
      assert.deepStrictEqual(yield* Fiber.join(offer), ids)
      assert.deepStrictEqual(yield* theirs.claim(1), [])
      assert.strictEqual(yield* mine.size, 0)
    }))

  test("an offer with too few or too many ids is refused", ({ mine }) =>
    Effect.gen(function*() {
      for (const ids of [["a"], ["a", "b", "c"]]) {
        const { message } = yield* Effect.flip(mine.offer([1, 2], { ids }))
        assert.match(message, new RegExp(`there are 2 jobs, but ${ids.length} ids$`))
      }
      assert.strictEqual(yield* mine.size, 0)
    }))

  test("a payload or a cursor that the engine cannot encode fails with a typed error, and changes nothing", ({ mine, written, write }) =>
    Effect.gen(function*() {
      yield* mine.offer([{ n: 1 }])
      const refusal = (exit: Exit.Exit<unknown, unknown>) =>
        Exit.isFailure(exit) && Cause.isFailType(exit.cause)
          ? (exit.cause.error as { _tag?: string })._tag
          : exit._tag
      const offer = refusal(yield* Effect.exit(mine.offer([{ n: 2 }, { n: 3n }])))
      const [claim] = yield* mine.claim(1)
      const checkpoint = { _tag: "Checkpoint", cursor: 3n, handBack: false } as const
      const settled = refusal(yield* Effect.exit(mine.transact(claim!, write("a"), checkpoint)))
      // The engine in memory encodes nothing.
      if (offer === "Success") return assert.strictEqual(settled, "Success")
      assert.deepStrictEqual([offer, settled], ["JobSourceError", "JobSourceError"])
      assert.strictEqual(yield* mine.size, 0)
      if (conditions.transactional) assert.deepStrictEqual(yield* written, [])
      yield* mine.transact(claim!, Effect.void, ack)
    }))
}
