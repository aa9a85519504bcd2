import { assert } from "@effect/vitest"
import { Array, Duration, Effect, Exit } from "effect"
import type { Claim, JobQueue } from "../../../src/layers/jobs/JobSource.js"
import { payloads, type Suite } from "./suite.js"

/** Jobs that are acknowledged together. */
export const batchesConform = (suite: Suite) => {
  const { claimed, conditions, lease, passTime, test } = suite

  const claimAll = (queue: JobQueue, jobs: ReadonlyArray<string>) =>
    Effect.gen(function*() {
      const claims: Array<Claim> = []
      yield* queue.offer(jobs)
      while (claims.length < jobs.length) claims.push(...yield* claimed(queue, jobs.length - claims.length))
      assert.isTrue(Array.isNonEmptyReadonlyArray(claims))
      return claims as unknown as Array.NonEmptyReadonlyArray<Claim>
    })

  test("jobs that are acknowledged together are gone, and those whose lease was lost are returned", ({ mine }) =>
    Effect.gen(function*() {
      const claims = yield* claimAll(mine, ["a", "b", "c"])
      const [a, b, c] = claims
      assert.deepStrictEqual(yield* mine.acknowledge([a]), [])
      assert.deepStrictEqual(yield* mine.acknowledge(claims), [a])
      assert.deepStrictEqual(yield* mine.renew([b!, c!]), [b, c])
      assert.deepStrictEqual(yield* mine.claim(9), [])
      assert.strictEqual(yield* mine.size, 0)
    }))

  test("the writes of a batch are committed with all of its jobs", ({ mine, write, written }) =>
    Effect.gen(function*() {
      const claims = yield* claimAll(mine, ["a", "b", "c"])
      const { lost, value } = yield* mine.transactAll(claims, (held) => Effect.as(write(payloads(held).join()), 42))
      assert.deepStrictEqual([value, lost], [42, []])
      assert.deepStrictEqual(yield* written, ["a,b,c"])
      assert.deepStrictEqual(yield* mine.claim(9), [])
      const again = yield* Effect.flip(mine.transactAll(claims, () => write("again")))
      assert.strictEqual((again as { _tag?: string })._tag, "LeaseLost")
      assert.deepStrictEqual(yield* written, ["a,b,c"])
    }))

  test("writes of a batch that fail, die or are interrupted settle none of its jobs", ({ mine, write, written }) =>
    Effect.gen(function*() {
      const claims = yield* claimAll(mine, ["a", "b"])
      const failing = (ending: Effect.Effect<never, string>) =>
        Effect.exit(mine.transactAll(claims, () => Effect.zipRight(write("lost"), ending)))
      assert.strictEqual(yield* Effect.flip(mine.transactAll(claims, () => Effect.fail("typed"))), "typed")
      for (const ending of [Effect.fail("typed"), Effect.die("defect"), Effect.interrupt]) {
        assert.isTrue(Exit.isFailure(yield* failing(ending)))
      }
      if (conditions.transactional) assert.deepStrictEqual(yield* written, [])
      assert.deepStrictEqual(yield* mine.renew(claims), [])
      assert.deepStrictEqual(yield* mine.handBack(claims), [])
    }))

  test("a job that is cancelled is left out of the writes of its batch", ({ mine, theirs, write, written }) =>
    Effect.gen(function*() {
      const claims = yield* claimAll(mine, ["a", "b", "c"])
      yield* theirs.cancel([claims[1]!.id])
      const { lost } = yield* mine.transactAll(claims, (held) => write(payloads(held).join()))
      assert.deepStrictEqual([payloads(lost), yield* written], [["b"], ["a,c"]])
    }))

  test(
    "a batch whose leases have expired writes nothing",
    ({ mine, theirs, write, written }) =>
      Effect.gen(function*() {
        const claims = yield* claimAll(mine, ["a"])
        yield* passTime(Duration.times(lease, 1.1))
        const [won] = yield* claimed(theirs)
        const refused = yield* Effect.flip(mine.transactAll(claims, () => write("too late")))
        assert.strictEqual((refused as { _tag?: string })._tag, "LeaseLost")
        assert.deepStrictEqual(yield* mine.acknowledge(claims), claims)
        yield* theirs.transactAll([won!], () => write("in time"))
        assert.deepStrictEqual(yield* written, ["in time"])
      }),
    "expiring"
  )

  if (!conditions.transactional) return

  test("a batch joins the caller's transaction", ({ mine, transaction, write, written }) =>
    Effect.gen(function*() {
      const claims = yield* claimAll(mine, ["a", "b"])
      const batch = Effect.orDie(mine.transactAll(claims, (held) => write(payloads(held).join())))
      yield* Effect.exit(transaction!(Effect.zipRight(batch, Effect.fail("no"))))
      assert.deepStrictEqual(yield* written, [])
      assert.deepStrictEqual(yield* mine.renew(claims), [])
      yield* transaction!(batch)
      assert.deepStrictEqual([yield* written, yield* mine.renew(claims)], [["a,b"], claims])
    }))
}
