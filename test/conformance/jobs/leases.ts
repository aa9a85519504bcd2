import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect, Option } from "effect"
import type { JobQueue } from "../../../src/layers/jobs/JobSource.js"
import { ack, payloads, type Suite } from "./suite.js"

/** Who holds a job, and what becomes of it when its lease is lost. */
export const leasesConform = (suite: Suite) => {
  const { claimed, conditions, eventually, lease, lose, passTime, test } = suite

  test(
    "a lease that expires spends an attempt, and its claim cannot settle the job",
    (fixture) =>
      Effect.gen(function*() {
        const { mine, theirs, write, written } = fixture
        const { lost, won } = yield* lose(fixture)
        assert.deepStrictEqual([won.id, won.attempt], [lost.id, 2])
        const refusals = yield* Effect.all([
          Effect.flip(mine.transact(lost, write("too late"), ack)),
          Effect.flip(mine.transact(lost, write("too late"), { _tag: "Checkpoint", cursor: 1, handBack: true })),
          Effect.flip(mine.retry(lost, { delay: Duration.zero, error: "too late" })),
          Effect.flip(mine.deadLetter(lost, "too late"))
        ])
        assert.deepStrictEqual(refusals.map((_) => (_ as { _tag?: string })._tag), Array(4).fill("LeaseLost"))
        assert.deepStrictEqual(yield* mine.handBack([lost]), [lost])
        assert.deepStrictEqual((yield* mine.renew([lost])).map((_) => _.token), [lost.token])
        assert.deepStrictEqual(yield* written, [])
        assert.deepStrictEqual(yield* mine.deadLetters.list(9), [])
        yield* theirs.transact(won, write("in time"), ack)
        assert.deepStrictEqual(yield* written, ["in time"])
      }),
    "expiring"
  )

  test(
    "a lease of a finished job is not a lease of a later job with the same id",
    (fixture) =>
      Effect.gen(function*() {
        const { mine, theirs, write, written } = fixture
        const ids = ["order: 42"]
        yield* mine.offer(["first"], { ids, keepIdFor: 0 })
        const [stale] = yield* mine.claim(1)
        yield* passTime(Duration.times(lease, 1.1))
        yield* theirs.transact((yield* claimed(theirs))[0]!, write("first"), ack)
        yield* theirs.offer(["second"], { ids, keepIdFor: 0 })
        // Engines that count the claims of a job would give the same number to this one, or to one of the next.
        for (let handBacks = 0; handBacks < 3; handBacks++) {
          const [claim] = yield* claimed(theirs)
          const refused = yield* Effect.flip(mine.transact(stale!, write("stale"), ack))
          assert.strictEqual((refused as { _tag?: string })._tag, "LeaseLost")
          assert.deepStrictEqual(yield* mine.renew([stale!]), [stale])
          assert.deepStrictEqual(yield* theirs.renew([claim!]), [])
          yield* theirs.handBack([claim!])
        }
        const [claim] = yield* claimed(theirs)
        yield* theirs.transact(claim!, write("second"), ack)
        assert.deepStrictEqual(yield* written, ["first", "second"])
      }),
    "expiring"
  )

  // In virtual time nothing is blocked.
  if (conditions.live) {
    test(
      "a held lease is renewed while the event loop is blocked, where another process could take the job",
      ({ sources: [source] }) =>
        Effect.gen(function*() {
          const queue = yield* source.open({ name: "blocked", lease: "4 seconds", concurrency: 1 })
          const { whileBlocked } = queue
          // An engine that cannot, or PGlite.
          if (whileBlocked === undefined) return
          yield* queue.offer(["job"])
          const [claim] = yield* queue.claim(1)
          const leaseUntil = Effect.map(queue.find(claim!.id), (job) => {
            const { leaseUntil } = Option.getOrThrow(Option.getOrThrow(job).run)
            return DateTime.toEpochMillis(Option.getOrThrow(leaseUntil))
          })
          const before = yield* leaseUntil
          const letGo = whileBlocked.hold(claim!)
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_000)
          const after = yield* leaseUntil
          letGo()
          assert.isAbove(after, before + 500)
        })
    )
  }

  test(
    "a job whose process died is an orphan until it is redriven, and one orphan is claimed at a time",
    ({ mine, theirs }) =>
      Effect.gen(function*() {
        yield* mine.offer(["a", "b", "c"])
        assert.deepStrictEqual((yield* mine.claim(3)).map(({ orphan }) => orphan), [false, false, false])
        yield* passTime(Duration.times(lease, 1.1))
        const claim = (queue: JobQueue) => eventually(queue.claim(9), (claims) => claims.length > 0)
        const first = yield* claim(theirs)
        yield* mine.offer(["d"])
        const [other] = yield* eventually(theirs.claim(9, { orphan: false }), (claims) => claims.length > 0)
        yield* theirs.handBack(first)
        assert.deepStrictEqual(yield* theirs.claim(9, { orphan: false }), [])
        const taken = [first, yield* claim(mine), yield* claim(mine), yield* claim(mine)]
        assert.deepStrictEqual(yield* mine.claim(9), [])
        assert.deepStrictEqual(taken.map(({ length }) => length), [1, 1, 1, 1])
        assert.deepStrictEqual(
          [other!, ...taken.slice(1).flat()].map((_) => `${_.payload} ${_.attempt} ${_.orphan}`).sort(),
          ["a 2 true", "b 2 true", "c 2 true", "d 1 false"]
        )
        const [orphan] = taken[3]!
        yield* mine.deadLetter(orphan!, "no")
        yield* mine.deadLetters.redrive([orphan!.id])
        // On a busy machine the leases of the others may have expired meanwhile.
        const again = yield* eventually(mine.claim(9), (claims) => claims.some(({ id }) => id === orphan!.id))
        assert.isFalse(again.find(({ id }) => id === orphan!.id)!.orphan)
      }),
    "expiring"
  )

  test("a hand-back skips and returns the claims whose lease was lost", (fixture) =>
    Effect.gen(function*() {
      const { mine, theirs } = fixture
      const { lost } = yield* lose(fixture)
      yield* mine.offer(["other"])
      const [held] = yield* mine.claim(1)
      assert.deepStrictEqual(yield* mine.handBack([lost, held!]), [lost])
      assert.deepStrictEqual(payloads(yield* theirs.claim(9)), ["other"])
    }), "expiring")

  test("a settled job cannot be settled again", ({ mine, write, written }) =>
    Effect.gen(function*() {
      yield* mine.offer(["job"])
      const [claim] = yield* mine.claim(1)
      yield* mine.transact(claim!, write("once"), ack)
      const refused = yield* Effect.flip(mine.transact(claim!, write("twice"), ack))
      assert.strictEqual((refused as { _tag?: string })._tag, "LeaseLost")
      assert.deepStrictEqual(yield* written, ["once"])
    }))

  test("a lease that is renewed does not expire", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* mine.offer(["job"])
      const [claim] = yield* mine.claim(1)
      for (let beat = 0; beat < 6; beat++) {
        yield* passTime(Duration.times(lease, 0.4))
        assert.deepStrictEqual(yield* mine.renew([claim!]), [])
        assert.deepStrictEqual(yield* theirs.claim(1), [])
      }
      yield* mine.transact(claim!, Effect.void, ack)
    }), "expiring")

  test("a checkpoint's cursor survives hand-backs, retries and lost leases", (fixture) =>
    Effect.gen(function*() {
      const { mine, theirs, write, written } = fixture
      yield* mine.offer(["job"])
      const [first] = yield* mine.claim(1)
      yield* mine.transact(first!, write("one"), { _tag: "Checkpoint", cursor: { row: 1 }, handBack: false })
      yield* mine.transact(first!, write("two"), { _tag: "Checkpoint", cursor: { row: 2 }, handBack: true })
      const [second] = yield* theirs.claim(1)
      assert.deepStrictEqual([second!.attempt, second!.cursor], [1, Option.some({ row: 2 })])
      yield* theirs.retry(second!, { delay: Duration.zero, error: "bad luck" })
      const [third] = yield* claimed(mine)
      assert.deepStrictEqual([third!.attempt, third!.cursor], [2, Option.some({ row: 2 })])
      yield* mine.transact(third!, write("three"), { _tag: "Checkpoint", cursor: { row: 3 }, handBack: false })
      yield* mine.handBack([third!])
      const [fourth] = yield* theirs.claim(1)
      assert.deepStrictEqual([fourth!.attempt, fourth!.cursor], [2, Option.some({ row: 3 })])
      yield* passTime(Duration.times(lease, 1.1))
      const [fifth] = yield* claimed(mine)
      assert.deepStrictEqual([fifth!.attempt, fifth!.cursor], [3, Option.some({ row: 3 })])
      assert.deepStrictEqual(yield* written, ["one", "two", "three"])
    }), "expiring")
}
