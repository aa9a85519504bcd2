import { assert } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import type { Settlement } from "../../../src/layers/jobs/JobSource.js"
import { ack, type Suite } from "./suite.js"

const snooze = (delay: Duration.Duration, cursor: Option.Option<unknown> = Option.none()): Settlement => ({
  _tag: "Snooze",
  delay,
  cursor
})

/** Jobs that put themselves off. */
export const snoozesConform = (suite: Suite) => {
  const { claimed, completes, lease, passTime, test } = suite

  test("a snoozed job becomes available after its delay, with its attempt kept, and its cursor unless it has a new one", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* mine.offer(["job"])
      const [first] = yield* mine.claim(1)
      yield* mine.retry(first!, { delay: Duration.zero, error: "bad luck" })
      const [second] = yield* claimed(mine)
      yield* mine.transact(second!, Effect.void, snooze(lease, Option.some({ row: 1 })))
      assert.deepStrictEqual([yield* mine.claim(1), yield* mine.size], [[], 1])
      yield* passTime(lease)
      const [third] = yield* claimed(theirs)
      assert.deepStrictEqual([third!.id, third!.attempt, third!.cursor, third!.orphan], [
        first!.id,
        2,
        Option.some({ row: 1 }),
        false
      ])
      yield* theirs.transact(third!, Effect.void, snooze(Duration.zero))
      const [fourth] = yield* claimed(mine)
      assert.deepStrictEqual([fourth!.attempt, fourth!.cursor], [2, Option.some({ row: 1 })])
      yield* mine.transact(fourth!, Effect.void, ack)
      assert.strictEqual(yield* mine.size, 0)
    }))

  test("a wait completes when a snoozed job becomes available", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* mine.offer(["job"])
      const [claim] = yield* mine.claim(1)
      yield* theirs.claim(1)
      yield* mine.transact(claim!, Effect.void, snooze(Duration.times(lease, 0.2)))
      yield* completes(yield* Effect.fork(theirs.wait))
      yield* claimed(theirs)
    }))

  test("a claim that was snoozed, or is lost, settles nothing", ({ mine, write, written }) =>
    Effect.gen(function*() {
      yield* mine.offer(["job"])
      const [claim] = yield* mine.claim(1)
      yield* mine.transact(claim!, Effect.void, snooze(Duration.zero))
      const refusals = yield* Effect.all([
        Effect.flip(mine.transact(claim!, write("late"), ack)),
        Effect.flip(mine.transact(claim!, Effect.void, snooze(Duration.zero))),
        Effect.flip(mine.transact(claim!, Effect.void, snooze(lease, Option.some(1))))
      ])
      assert.deepStrictEqual(refusals.map((error) => (error as { _tag?: string })._tag), Array(3).fill("LeaseLost"))
      assert.deepStrictEqual(yield* written, [])
      assert.deepStrictEqual((yield* claimed(mine)).map(({ cursor }) => cursor), [Option.none()])
    }))
}
