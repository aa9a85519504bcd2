import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { ack, payloads, type Suite } from "./suite.js"

/** Which jobs are claimed first. A source whose claims do not follow priorities refuses them. */
export const prioritiesConform = (suite: Suite) => {
  const { claimed, lease, passTime, test } = suite

  test("jobs are claimed by priority, lower numbers first, and those of one priority in the order of their offers", ({ mine, sources, theirs }) =>
    Effect.gen(function*() {
      if (!sources[0].priorities) {
        const { message } = yield* Effect.flip(mine.offer(["job"], { priority: 3 }))
        assert.match(message, /offer failed: priority 3 cannot be kept: /)
        yield* mine.offer(["job"], { priority: 0 })
        assert.strictEqual(yield* mine.size, 1)
        return
      }
      yield* mine.offer(["e", "f"], { priority: 9 })
      yield* mine.offer(["c", "d"], { priority: 2 })
      yield* mine.offer(["g"], { priority: 9 })
      yield* mine.offer(["a"])
      yield* mine.offer(["b"], { priority: 0 })
      assert.strictEqual(yield* mine.size, 7)
      assert.deepStrictEqual(payloads(yield* mine.claim(3)), ["a", "b", "c"])
      assert.deepStrictEqual(payloads(yield* theirs.claim(9)), ["d", "e", "f", "g"])
    }))

  test("a job keeps its priority when it is delayed, retried and handed back", ({ mine, sources }) =>
    Effect.gen(function*() {
      if (!sources[0].priorities) return
      yield* mine.offer(["delayed"], { priority: 5, delay: Duration.times(lease, 0.2) })
      yield* mine.offer(["retried", "handed back"], { priority: 4 })
      const [retried, handedBack] = yield* mine.claim(2)
      yield* mine.retry(retried!, { delay: Duration.zero, error: "bad luck" })
      yield* mine.handBack([handedBack!])
      yield* passTime(Duration.times(lease, 0.5))
      yield* mine.offer(["last"], { priority: 6 })
      yield* mine.offer(["first"], { priority: 3 })
      const claims = [...yield* claimed(mine), ...yield* mine.claim(9)]
      const [before, after] = [claims.slice(0, 3), claims.slice(3)]
      assert.deepStrictEqual(payloads(before).sort(), ["first", "handed back", "retried"])
      assert.deepStrictEqual(payloads(after), ["delayed", "last"])
      yield* Effect.forEach(claims, (claim) => mine.transact(claim, Effect.void, ack))
    }))
}
