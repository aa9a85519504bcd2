import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect, Option } from "effect"
import { redriveMatching } from "../../../src/layers/jobs/internal/redriveMatching.js"
import type { Claim } from "../../../src/layers/jobs/JobSource.js"
import { ack, payloads, type Suite } from "./suite.js"

/** Dead letters, and what `find` says of a job. */
export const deadLettersConform = (suite: Suite) => {
  const { claimed, completes, lease, passTime, test } = suite

  test(
    "a dead letter has the payload, the cursor and the error of its job",
    ({ mine }) =>
      Effect.gen(function*() {
        const ids = yield* mine.offer([{ n: 1 }, { n: 2 }, { n: 3 }])
        const [one, two, three] = yield* mine.claim(3)
        yield* mine.deadLetter(one!, "first")
        yield* mine.transact(two!, Effect.void, { _tag: "Checkpoint", cursor: 7, handBack: false })
        yield* mine.retry(two!, { delay: Duration.zero, error: "bad luck" })
        yield* passTime("5 millis")
        yield* mine.deadLetter((yield* claimed(mine))[0]!, "second")
        assert.deepStrictEqual(yield* mine.deadLetters.get(three!.id), Option.none())
        yield* mine.transact(three!, Effect.void, ack)
        yield* passTime(Duration.times(lease, 1.5))
        assert.deepStrictEqual(yield* mine.claim(9), [])
        assert.strictEqual(yield* mine.size, 0)
        const letters = yield* mine.deadLetters.list(9)
        assert.deepStrictEqual(letters.map(({ failedAt: _, ...letter }) => letter), [
          { id: ids[0], payload: { n: 1 }, cursor: Option.none(), error: "first", failure: Option.none(), attempt: 1 },
          { id: ids[1], payload: { n: 2 }, cursor: Option.some(7), error: "second", failure: Option.none(), attempt: 2 }
        ])
        assert.isTrue(DateTime.lessThan(letters[0]!.failedAt, letters[1]!.failedAt))
        assert.deepStrictEqual(yield* mine.deadLetters.list(1), letters.slice(0, 1))
        assert.deepStrictEqual(yield* mine.deadLetters.list(9, letters[0]), letters.slice(1))
        assert.deepStrictEqual(yield* mine.deadLetters.get(ids[1]!), Option.some(letters[1]!))
      }),
    "expiring"
  )

  test("a dead letter has what its job has failed with, until it is redriven", ({ mine, theirs }) =>
    Effect.gen(function*() {
      const failures: Readonly<Record<string, Option.Option<unknown>>> = {
        a: Option.some({ _tag: "Refused", codes: [550, null] }),
        b: Option.none(),
        c: Option.some(null)
      }
      const ids = Object.keys(failures)
      yield* mine.offer(ids, { ids })
      for (const claim of yield* mine.claim(3)) yield* mine.deadLetter(claim, "bad luck", failures[claim.id])
      const shown = Effect.gen(function*() {
        const letters = yield* theirs.deadLetters.list(9)
        const dead = yield* theirs.list({ state: "Dead", limit: 9 })
        const one = yield* Effect.forEach(ids, theirs.deadLetters.get)
        const found = yield* Effect.forEach(ids, theirs.find)
        return [letters, dead.jobs, one.map(Option.getOrThrow), found.map(Option.getOrThrow)].map((jobs) =>
          Object.fromEntries(jobs.map(({ failure, id }) => [id, failure]))
        )
      })
      assert.deepStrictEqual(yield* shown, Array.from({ length: 4 }, () => failures))
      yield* mine.deadLetters.redrive(["a"])
      assert.deepStrictEqual(Option.map(yield* mine.find("a"), ({ failure }) => failure), Option.some(Option.none()))
      const [again] = yield* claimed(mine)
      yield* mine.deadLetter(again!, "bad luck")
      assert.deepStrictEqual(yield* shown, Array.from({ length: 4 }, () => ({ ...failures, a: Option.none() })))
    }))

  test("dead letters of the same moment are listed page by page, each of them once", ({ mine }) =>
    Effect.gen(function*() {
      const ids = yield* mine.offer(Array.from({ length: 25 }, (_, n) => n))
      yield* Effect.forEach(yield* mine.claim(25), (claim) => mine.deadLetter(claim, "no"), {
        concurrency: "unbounded"
      })
      const pages = [yield* mine.deadLetters.list(7)]
      while (pages.length < 9 && pages.at(-1)!.length > 0) {
        pages.push(yield* mine.deadLetters.list(7, pages.at(-1)!.at(-1)))
      }
      assert.deepStrictEqual(pages.map((page) => page.length), [7, 7, 7, 4, 0])
      assert.deepStrictEqual(pages.flat().map(({ id }) => id).sort(), [...ids].sort())
    }))

  test("a dead letter that is redriven is a job again: same id, all attempts, its cursor unless from the start", (fixture) =>
    Effect.gen(function*() {
      const { mine, theirs } = fixture
      const ids = yield* mine.offer(["a", "b"])
      const deadLetter = (claim: Claim) =>
        Effect.zipRight(
          mine.transact(claim, Effect.void, { _tag: "Checkpoint", cursor: 7, handBack: false }),
          mine.deadLetter(claim, "no")
        )
      const [a, b] = yield* mine.claim(2)
      yield* mine.retry(a!, { delay: Duration.zero, error: "bad luck" })
      yield* deadLetter((yield* claimed(mine))[0]!)
      yield* deadLetter(b!)
      yield* theirs.claim(1)
      const woken = yield* Effect.fork(Effect.repeatN(theirs.wait, 1))
      assert.strictEqual(yield* mine.deadLetters.redrive([ids[0]!, "unknown"]), 1)
      yield* completes(woken)
      assert.strictEqual(yield* mine.deadLetters.redrive([ids[0]!]), 0)
      assert.strictEqual(yield* mine.deadLetters.redrive([ids[1]!], { fromStart: true }), 1)
      const again = yield* theirs.claim(2)
      assert.deepStrictEqual(
        again.map(({ token: _, ...claim }) => claim).sort((a, b) => String(a.payload).localeCompare(String(b.payload))),
        [
          { id: ids[0], payload: "a", attempt: 1, cursor: Option.some(7), orphan: false },
          { id: ids[1], payload: "b", attempt: 1, cursor: Option.none(), orphan: false }
        ]
      )
      assert.deepStrictEqual(yield* mine.deadLetters.list(9), [])
      const stale = yield* Effect.flip(mine.transact(a!, Effect.void, ack))
      assert.strictEqual((stale as { _tag?: string })._tag, "LeaseLost")
      const [next] = again
      yield* theirs.retry(next!, { delay: Duration.zero, error: "bad luck" })
      assert.strictEqual((yield* claimed(mine))[0]!.attempt, 2)
    }))

  test("dead letters are redriven by a part of their error, up to a limit, those that failed first before the others", ({ mine }) =>
    Effect.gen(function*() {
      const ids = ["a", "b", "c", "d"]
      yield* mine.offer(ids, { ids })
      for (const [n, claim] of (yield* mine.claim(4)).entries()) {
        yield* mine.deadLetter(claim, n === 1 ? "no such address" : "timeout: mail server")
        yield* passTime("5 millis")
      }
      const redriven = [
        yield* redriveMatching(mine.deadLetters, { error: "Timeout" }),
        yield* redriveMatching(mine.deadLetters, { error: "timeout", limit: 2 })
      ]
      const claims = [...yield* claimed(mine), ...yield* mine.claim(9)]
      assert.deepStrictEqual([redriven, payloads(claims).sort()], [[0, 2], ["a", "c"]])
      assert.strictEqual(yield* redriveMatching(mine.deadLetters, {}), 2)
      assert.deepStrictEqual(yield* mine.deadLetters.list(9), [])
    }))

  test("a dead letter that is discarded is deleted", ({ mine }) =>
    Effect.gen(function*() {
      const ids = yield* mine.offer(["a", "b"])
      const [a, b] = yield* mine.claim(2)
      yield* mine.deadLetter(a!, "no")
      assert.strictEqual(yield* mine.deadLetters.discard(ids), 1)
      assert.deepStrictEqual(yield* mine.deadLetters.list(9), [])
      assert.deepStrictEqual(yield* mine.find(a!.id), Option.none())
      yield* mine.transact(b!, Effect.void, ack)
    }))

  test("find returns the state, the attempt and the cursor of a job", ({ mine }) =>
    Effect.gen(function*() {
      const [id] = yield* mine.offer(["job"], { ids: ["by name"] })
      const look = Effect.map(
        mine.find(id!),
        Option.map(({ attempt, cursor, state }): ReadonlyArray<unknown> => [state, attempt, cursor])
      )
      const looks = [yield* look]
      const [claim] = yield* mine.claim(1)
      looks.push(yield* look)
      yield* mine.transact(claim!, Effect.void, { _tag: "Checkpoint", cursor: 7, handBack: false })
      looks.push(yield* look)
      yield* mine.handBack([claim!])
      looks.push(yield* look)
      yield* mine.retry((yield* mine.claim(1))[0]!, { delay: Duration.zero, error: "bad luck" })
      looks.push(yield* look)
      const [last] = yield* claimed(mine)
      yield* mine.deadLetter(last!, "no")
      looks.push(yield* look)
      yield* mine.deadLetters.redrive([id!])
      looks.push(yield* look)
      yield* mine.transact((yield* claimed(mine))[0]!, Effect.void, ack)
      looks.push(yield* look)
      const cursor = Option.some(7)
      assert.deepStrictEqual(looks, [
        Option.some(["Waiting", 1, Option.none()]),
        Option.some(["Running", 1, Option.none()]),
        Option.some(["Running", 1, cursor]),
        Option.some(["Waiting", 1, cursor]),
        Option.some(["Waiting", 2, cursor]),
        Option.some(["Dead", 2, cursor]),
        Option.some(["Waiting", 1, cursor]),
        Option.none()
      ])
    }))
}
