import { assert } from "@effect/vitest"
import { Duration, Effect, Fiber, Option } from "effect"
import type { JobQueue } from "../../../src/layers/jobs/JobSource.js"
import { ack, payloads, type Suite } from "./suite.js"

/** Jobs are offered, claimed, handed back and retried. */
export const claimsConform = (suite: Suite) => {
  const { claimed, completes, handsBackFirst, lease, passTime, test } = suite

  test("a claim returns jobs as they were offered, oldest first, at most as many as requested", ({ mine }) =>
    Effect.gen(function*() {
      const ids = yield* mine.offer([{ a: 1 }, ["b"], "c"])
      assert.strictEqual(new Set(ids).size, 3)
      yield* mine.offer([null])
      const claims = yield* mine.claim(3)
      assert.deepStrictEqual(payloads(claims), [{ a: 1 }, ["b"], "c"])
      assert.deepStrictEqual(claims.map(({ attempt, cursor, id }) => [id, attempt, cursor]), [
        [ids[0], 1, Option.none()],
        [ids[1], 1, Option.none()],
        [ids[2], 1, Option.none()]
      ])
      assert.deepStrictEqual(payloads(yield* mine.claim(3)), [null])
      assert.deepStrictEqual(yield* mine.claim(3), [])
    }))

  test("two consumers claim every job, and none of them twice", ({ mine, theirs }) =>
    Effect.gen(function*() {
      const jobs = Array.from({ length: 60 }, (_, job) => job)
      yield* mine.offer(jobs)
      const drain = (queue: JobQueue) =>
        Effect.iterate([] as ReadonlyArray<unknown>, {
          while: (all) => all.at(-1) !== "end",
          body: (all) =>
            Effect.map(
              queue.claim(7),
              (claims) => claims.length === 0 ? [...all, "end"] : [...all, ...payloads(claims)]
            )
        })
      const taken = yield* Effect.all([drain(mine), drain(theirs)], { concurrency: "unbounded" })
      const all = taken.flat().filter((job) => job !== "end").map(Number)
      assert.deepStrictEqual(all.sort((a, b) => a - b), jobs)
    }))

  test("an acknowledged job is gone", ({ mine }) =>
    Effect.gen(function*() {
      yield* mine.offer(["job"])
      const [claim] = yield* mine.claim(1)
      assert.strictEqual(yield* mine.transact(claim!, Effect.succeed(42), ack), 42)
      yield* passTime(Duration.times(lease, 1.5))
      assert.deepStrictEqual(yield* mine.claim(1), [])
      assert.strictEqual(yield* mine.size, 0)
    }), "expiring")

  test("a delayed job is counted, and becomes available after its delay", ({ mine }) =>
    Effect.gen(function*() {
      yield* mine.offer(["late"], { delay: lease })
      yield* mine.offer(["now"])
      assert.strictEqual(yield* mine.size, 2)
      const claims = yield* mine.claim(2)
      assert.deepStrictEqual(payloads(claims), ["now"])
      assert.strictEqual(yield* mine.size, 1)
      yield* mine.transact(claims[0]!, Effect.void, ack)
      yield* passTime(lease)
      assert.deepStrictEqual(payloads(yield* claimed(mine)), ["late"])
    }))

  test("a retry spends the attempt, and the job becomes available after the delay", ({ mine }) =>
    Effect.gen(function*() {
      yield* mine.offer(["job"])
      const [claim] = yield* mine.claim(1)
      yield* mine.retry(claim!, { delay: lease, error: "bad luck" })
      assert.deepStrictEqual(yield* mine.claim(1), [])
      yield* passTime(lease)
      const [again] = yield* claimed(mine)
      assert.strictEqual(again!.attempt, 2)
      yield* mine.retry(again!, { delay: Duration.zero, error: "bad luck" })
      assert.strictEqual((yield* claimed(mine))[0]!.attempt, 3)
    }))

  test(
    `jobs that are handed back are available at once, ${
      handsBackFirst ? "before" : "after"
    } later ones, with their attempts kept`,
    ({ mine, theirs }) =>
      Effect.gen(function*() {
        yield* mine.offer(["a", "b", "c"])
        const [a] = yield* mine.claim(1)
        yield* mine.retry(a!, { delay: Duration.zero, error: "bad luck" })
        const claims = yield* mine.claim(2)
        assert.deepStrictEqual(yield* mine.handBack(claims), [])
        assert.deepStrictEqual(yield* mine.handBack(claims), claims)
        for (let handBacks = 0; handBacks < 5; handBacks++) yield* mine.handBack(yield* mine.claim(2))
        const again = yield* theirs.claim(handsBackFirst ? 2 : 3)
        const expected = handsBackFirst ? payloads(claims) : ["a", "b", "c"]
        assert.deepStrictEqual(handsBackFirst ? payloads(again) : [...payloads(again)].sort(), expected)
        assert.isTrue(again.every((_) => _.attempt === (_.payload === "a" ? 2 : 1)))
      })
  )

  test("a claim that was handed back cannot settle its job", ({ mine, theirs, write, written }) =>
    Effect.gen(function*() {
      yield* mine.offer(["job"])
      const [stale] = yield* mine.claim(1)
      yield* mine.handBack([stale!])
      const [claim] = yield* theirs.claim(1)
      const refused = yield* Effect.flip(mine.transact(stale!, write("stale"), ack))
      assert.strictEqual((refused as { _tag?: string })._tag, "LeaseLost")
      assert.deepStrictEqual(yield* written, [])
      yield* theirs.transact(claim!, Effect.void, ack)
    }))

  test("a hand-back and an offer complete a wait, at whatever moment they happen", ({ mine, theirs }) =>
    Effect.gen(function*() {
      for (let turns = 0; turns < 8; turns++) {
        const first = yield* Effect.fork(theirs.wait)
        yield* Effect.repeatN(Effect.yieldNow(), turns)
        yield* mine.offer(["job"])
        yield* completes(first)
        const claims = yield* mine.claim(1)
        yield* theirs.claim(1)
        const second = yield* Effect.fork(Effect.repeatN(theirs.wait, 1))
        yield* Effect.repeatN(Effect.yieldNow(), turns)
        yield* mine.handBack(claims)
        yield* completes(second)
        yield* mine.transact((yield* mine.claim(1))[0]!, Effect.void, ack)
      }
    }))

  test("a wait completes when there is a job already", ({ mine }) =>
    Effect.gen(function*() {
      yield* mine.offer(["job"])
      yield* completes(yield* Effect.fork(mine.wait))
    }))

  test("a wait that is interrupted at any point loses no job", ({ mine, theirs }) =>
    Effect.gen(function*() {
      for (let job = 0; job < 20; job++) {
        const fiber = yield* Effect.fork(theirs.wait)
        for (let turn = 0; turn < job % 4; turn++) yield* Effect.yieldNow()
        if (job % 2 === 0) yield* mine.offer([job])
        yield* Fiber.interrupt(fiber)
        if (job % 2 === 1) yield* mine.offer([job])
      }
      yield* completes(yield* Effect.fork(theirs.wait))
      assert.deepStrictEqual(payloads(yield* theirs.claim(99)), Array.from({ length: 20 }, (_, job) => job))
    }))
}
