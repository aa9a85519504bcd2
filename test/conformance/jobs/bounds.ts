import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { ack, type Suite } from "./suite.js"

/** Queues with a capacity. */
export const boundsConform = (suite: Suite) => {
  const { claimed, conditions, eventually, test } = suite
  const bounded = (sentence: string, body: Parameters<Suite["test"]>[1]) =>
    test(sentence, body, undefined, { capacity: 3 })

  bounded(
    "a full queue refuses an offer, and stores none of its jobs, until there is room again",
    ({ mine, theirs }) =>
      Effect.gen(function*() {
        yield* mine.offer(["a", "b"], { delay: "1 hour" })
        const refused = yield* Effect.flip(mine.offer(["c", "d"]))
        assert.deepStrictEqual(
          [refused._tag, refused.message],
          ["QueueFull", `${(refused as { queue: string }).queue}: the queue is full (capacity 3)`]
        )
        assert.strictEqual(yield* mine.size, 2)
        yield* eventually(Effect.isSuccess(mine.offer(["c"])), (accepted) => accepted)
        assert.strictEqual((yield* Effect.flip(theirs.offer(["d"])))._tag, "QueueFull")
        yield* claimed(theirs)
        yield* eventually(Effect.isSuccess(mine.offer(["d"])), (accepted) => accepted)
        assert.strictEqual(yield* mine.size, 3)
      })
  )

  bounded(
    "jobs that return to a full queue have room: handed back, retried or redriven",
    ({ mine }) =>
      Effect.gen(function*() {
        yield* mine.offer(["a", "b", "c"])
        const [a, b, c] = yield* mine.claim(3)
        yield* eventually(Effect.isSuccess(mine.offer(["d", "e", "f"], { delay: "1 hour" })), (accepted) => accepted)
        yield* mine.handBack([a!])
        yield* mine.retry(b!, { delay: Duration.zero, error: "bad luck" })
        yield* mine.deadLetter(c!, "no")
        assert.strictEqual(yield* mine.deadLetters.redrive([c!.id]), 1)
        assert.strictEqual(yield* mine.size, 6)
        yield* mine.transact((yield* claimed(mine))[0]!, Effect.void, ack)
        assert.strictEqual((yield* Effect.flip(mine.offer(["g"])))._tag, "QueueFull")
      })
  )

  if (conditions.transactional) {
    bounded("offers in a transaction count each other", ({ mine, transaction }) =>
      Effect.gen(function*() {
        const offers = Effect.all([mine.offer(["a", "b"]), Effect.exit(mine.offer(["c", "d"])), mine.offer(["e"])])
        yield* transaction!(offers)
        assert.strictEqual(yield* mine.size, 3)
      }))
  }
}
