import { assert } from "@effect/vitest"
import { Array, DateTime, Duration, Effect, Option } from "effect"
import type { JobQueue } from "../../../src/layers/jobs/JobSource.js"
import type { JobState } from "../../../src/layers/jobs/QueueControl.js"
import { ack, type Suite } from "./suite.js"

const states = ["Waiting", "Delayed", "Blocked", "Running", "Dead"] as const

/** All jobs of a state, page by page. */
const pages = (queue: JobQueue, state: JobState, limit: number) =>
  Effect.gen(function*() {
    const found = [yield* queue.list({ state, limit })]
    while (found.length < 50) {
      const next = found.at(-1)!.next
      if (Option.isNone(next)) return found.map(({ jobs }) => jobs)
      found.push(yield* queue.list({ state, limit, after: next.value }))
    }
    return yield* Effect.dieMessage("the pages never end")
  })

/** What is in a queue, as people see it. */
export const listingConforms = ({ eventually, lease, passTime, test }: Suite) => {
  test("jobs are listed by state, with what is known of each", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* mine.offer(["runs", "dies"], { ids: ["runs", "dies"] })
      const [runs, dies] = yield* mine.claim(2)
      yield* mine.transact(runs!, Effect.void, { _tag: "Checkpoint", cursor: 7, handBack: false })
      yield* mine.retry(dies!, { delay: Duration.zero, error: "bad luck" })
      const [again] = yield* eventually(mine.claim(1), (claims) => claims.length > 0)
      yield* mine.deadLetter(again!, "no")
      yield* mine.offer(["waits"], { ids: ["waits"] })
      yield* mine.offer(["comes"], { ids: ["comes"], delay: "1 hour" })

      const listed = yield* Effect.forEach(states, (state) => theirs.list({ state, limit: 9 }))
      assert.deepStrictEqual(listed.map(({ next }) => next), states.map(() => Option.none()))
      const jobs = listed.flatMap(({ jobs }) => jobs)
      assert.deepStrictEqual(
        jobs.map(({ attempt, cursor, error, id, payload, state }) => [state, id, payload, attempt, cursor, error]),
        [
          ["Waiting", "waits", "waits", 1, Option.none(), Option.none()],
          ["Delayed", "comes", "comes", 1, Option.none(), Option.none()],
          ["Running", "runs", "runs", 1, Option.some(7), Option.none()],
          ["Dead", "dies", "dies", 2, Option.none(), Option.some("no")]
        ]
      )
      const found = yield* Effect.forEach(jobs, ({ id }) => Effect.flatten(mine.find(id)))
      // When a lease ends is measured anew each time.
      assert.deepStrictEqual(found.map(({ run: _, ...job }) => job), jobs.map(({ run: _, ...job }) => job))
      const [waits, comes, running, dead] = jobs
      assert.isTrue(
        jobs.every(({ dueAt, offeredAt }) => DateTime.lessThanOrEqualTo(offeredAt, DateTime.add(dueAt, { seconds: 1 })))
      )
      assert.approximately(DateTime.distance(waits!.dueAt, comes!.dueAt), 3_600_000, 10_000)
      assert.deepStrictEqual(
        jobs.map(({ failedAt, run }) => [Option.isSome(run), Option.isSome(failedAt)]),
        [[false, false], [false, false], [true, false], [false, true]]
      )
      const { by, leaseUntil, since } = Option.getOrThrow(running!.run)
      assert.match(Option.getOrThrow(by), new RegExp(`^.+/${process.pid}$`))
      const claimedAt = Option.getOrThrow(since)
      assert.isTrue(DateTime.greaterThanOrEqualTo(claimedAt, running!.offeredAt))
      assert.approximately(DateTime.distance(claimedAt, Option.getOrThrow(leaseUntil)), 600_000, 10_000)
      assert.isTrue(DateTime.greaterThanOrEqualTo(Option.getOrThrow(dead!.failedAt), dead!.offeredAt))
    }))

  test("the error of a failed attempt stays with its job, and a run ends with its lease", ({ mine }) =>
    Effect.gen(function*() {
      const [id] = yield* mine.offer(["job"])
      yield* mine.retry((yield* mine.claim(1))[0]!, { delay: Duration.hours(1), error: "bad luck" })
      const delayed = Option.getOrThrow(yield* mine.find(id!))
      assert.deepStrictEqual(
        [delayed.state, delayed.attempt, delayed.error, delayed.run],
        ["Delayed", 2, Option.some("bad luck"), Option.none()]
      )
    }))

  test("a list is read page by page, each job once, also those of the same moment", ({ mine }) =>
    Effect.gen(function*() {
      const count = 23
      const numbers = Array.makeBy(count, String)
      const idsOf = (state: JobState) =>
        Effect.map(pages(mine, state, 5), (found) => {
          assert.deepStrictEqual(found.map(({ length }) => length), [5, 5, 5, 5, 3], state)
          return found.flat().map(({ id }) => id)
        })
      yield* mine.offer(numbers, { ids: numbers, delay: "1 hour" })
      assert.deepStrictEqual([...yield* idsOf("Delayed")].sort(), [...numbers].sort())
      yield* mine.offer(numbers, { ids: numbers.map((n) => `now ${n}`) })
      const waiting = yield* idsOf("Waiting")
      assert.deepStrictEqual([...waiting].sort(), numbers.map((n) => `now ${n}`).sort())
      const claims = yield* mine.claim(count)
      assert.deepStrictEqual([...yield* idsOf("Running")].sort(), [...waiting].sort())
      yield* Effect.forEach(claims, (claim) => mine.deadLetter(claim, "no"), { concurrency: "unbounded" })
      assert.deepStrictEqual([...yield* idsOf("Dead")].sort(), [...waiting].sort())
    }))

  test("a page begins after its position although jobs before it are gone", ({ mine }) =>
    Effect.gen(function*() {
      const ids = ["a", "b", "c", "d"]
      yield* Effect.forEach(ids, (id) => Effect.zipRight(passTime("5 millis"), mine.offer([id], { ids: [id] })))
      const first = yield* mine.list({ state: "Waiting", limit: 2 })
      assert.deepStrictEqual(first.jobs.map(({ id }) => id), ["a", "b"])
      for (const claim of yield* mine.claim(2)) yield* mine.transact(claim, Effect.void, ack)
      const second = yield* mine.list({ state: "Waiting", limit: 2, after: Option.getOrThrow(first.next) })
      assert.deepStrictEqual([second.jobs.map(({ id }) => id), second.next], [["c", "d"], Option.none()])
    }))

  test("a position that no page has returned is refused", ({ mine }) =>
    Effect.gen(function*() {
      yield* mine.offer(["job"])
      for (const after of ["", "x", "12", "-1.2", "1e3.4", "99999999999999999999.1"]) {
        const error = yield* Effect.flip(mine.list({ state: "Waiting", limit: 1, after }))
        assert.strictEqual(error._tag, "InvalidPosition")
      }
    }))

  test("the depth counts each state, and says since when the oldest waits", ({ mine, theirs }) =>
    Effect.gen(function*() {
      const exactly = (count: number) => ({ count, estimated: false })
      assert.deepStrictEqual(yield* mine.depth, {
        jobs: { Waiting: exactly(0), Delayed: exactly(0), Blocked: exactly(0), Running: exactly(0), Dead: exactly(0) },
        oldest: Option.none()
      })
      yield* mine.offer(["runs", "dies"])
      const [, dies] = yield* mine.claim(2)
      yield* mine.deadLetter(dies!, "no")
      yield* mine.offer(["a"])
      const oldest = (yield* mine.list({ state: "Waiting", limit: 1 })).jobs[0]!.dueAt
      yield* passTime(Duration.times(lease, 0.1))
      yield* mine.offer(["b", "c"])
      yield* mine.offer(["later", "and later"], { delay: "1 hour" })
      assert.deepStrictEqual(yield* theirs.depth, {
        jobs: { Waiting: exactly(3), Delayed: exactly(2), Blocked: exactly(0), Running: exactly(1), Dead: exactly(1) },
        oldest: Option.some(oldest)
      })
    }))
}
