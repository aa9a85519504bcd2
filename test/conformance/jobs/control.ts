import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import type { Claim, JobQueue } from "../../../src/layers/jobs/JobSource.js"
import { ack, type Suite } from "./suite.js"

const jobs = (claims: ReadonlyArray<Claim>) => claims.map(({ attempt, payload }) => `${payload} ${attempt}`).sort()

let opened = 0

/** How a queue is operated. */
export const controlConforms = ({ completes, eventually, lease, passTime, test }: Suite) => {
  const hears = (queue: JobQueue, paused: boolean) => eventually(queue.paused.get, (heard) => heard === paused)
  /** Claims until there are so many. */
  const claimAll = (queue: JobQueue, count: number) => {
    const claims: Array<Claim> = []
    const claimMore = Effect.map(queue.claim(9), (more) => {
      claims.push(...more)
      return claims
    })
    return eventually(claimMore, ({ length }) => length >= count)
  }

  test("a paused queue settles what runs and accepts offers, and gives no job in any process until it is resumed", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* mine.offer(["runs", "returns", "fails"])
      const held = yield* mine.claim(3)
      yield* mine.offer(["waits"])
      yield* mine.setPaused(true)
      assert.isTrue(yield* mine.paused.get)
      assert.deepStrictEqual(yield* theirs.claim(9), [])
      yield* hears(theirs, true)
      yield* theirs.offer(["comes"])
      assert.deepStrictEqual(yield* mine.renew(held), [])
      const [runs, returns, fails] = held
      yield* mine.transact(runs!, Effect.void, ack)
      yield* mine.handBack([returns!])
      yield* mine.retry(fails!, { delay: Duration.zero, error: "bad luck" })
      yield* passTime(Duration.times(lease, 0.1))
      assert.deepStrictEqual([yield* mine.claim(9), yield* theirs.claim(9)], [[], []])
      assert.strictEqual(yield* mine.size, 4)
      const woken = yield* Effect.fork(Effect.repeatN(mine.wait, 1))
      yield* theirs.setPaused(false)
      assert.isFalse(yield* theirs.paused.get)
      yield* hears(mine, false)
      yield* completes(woken)
      assert.deepStrictEqual(jobs(yield* claimAll(mine, 4)), ["comes 1", "fails 2", "returns 1", "waits 1"])
    }))

  test("a pause is stored: a process that opens the queue later knows of it", ({ mine, sources, theirs }) =>
    Effect.gen(function*() {
      const name = `paused-${++opened}`
      const first = yield* Effect.scoped(
        Effect.flatMap(
          sources[0].open({ name }),
          (queue) => Effect.zipRight(queue.setPaused(true), queue.offer(["job"]))
        )
      )
      assert.strictEqual(first.length, 1)
      const later = yield* sources[1].open({ name })
      assert.isTrue(yield* later.paused.get)
      assert.deepStrictEqual(yield* later.claim(1), [])
      assert.deepStrictEqual([yield* mine.paused.get, yield* theirs.paused.get], [false, false])
      yield* later.setPaused(true)
      yield* later.setPaused(false)
      yield* later.setPaused(false)
      assert.deepStrictEqual(jobs(yield* claimAll(later, 1)), ["job 1"])
    }))

  test(
    "a job whose lease expires while the queue is paused runs when it is resumed",
    ({ mine, theirs }) =>
      Effect.gen(function*() {
        yield* mine.offer(["job"])
        yield* mine.claim(1)
        yield* mine.offer(["later"], { delay: lease })
        yield* mine.setPaused(true)
        yield* passTime(Duration.times(lease, 2))
        assert.deepStrictEqual(yield* theirs.claim(9), [])
        yield* mine.setPaused(false)
        assert.deepStrictEqual(jobs(yield* claimAll(theirs, 2)), ["job 2", "later 1"])
      }),
    "expiring"
  )
}
