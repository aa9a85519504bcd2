import { assert } from "@effect/vitest"
import { Duration, Effect, Fiber, Option } from "effect"
import type { Claim, JobEnd, JobQueue } from "../../../src/layers/jobs/JobSource.js"
import { ack, type Suite } from "./suite.js"

const succeeded = (value: unknown): JobEnd => ({ _tag: "Succeeded", value: Option.some(value) })
const dead = (error: string, failure: Option.Option<unknown> = Option.none()): JobEnd => ({
  _tag: "DeadLettered",
  error,
  failure
})
const gone: JobEnd = { _tag: "Gone" }

/** How those who wait for a job learn of its end. */
export const endsConform = ({ claimed, completes, conditions, lease, passTime, test }: Suite) => {
  const offer = (queue: JobQueue, ...ids: ReadonlyArray<string>) => queue.offer(ids, { ids, awaited: true })
  const ackWith = (queue: JobQueue, claim: Claim | undefined, value: unknown) =>
    queue.transact(claim!, Effect.void, { _tag: "Ack", value: () => value })
  /** Waits for the end of a job on a fiber, which has looked at it. */
  const waitFor = (queue: JobQueue, id: string) =>
    Effect.tap(Effect.fork(queue.awaitEnd(id)), () => passTime(Duration.times(lease, 0.05)))
  const endOf = (fiber: Fiber.RuntimeFiber<JobEnd, unknown>) => Effect.zipRight(completes(fiber), Fiber.join(fiber))

  test("the end of a job is seen by those who wait for it, in whatever process, with what it was acknowledged with", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* offer(mine, "job")
      const waiters = yield* Effect.all([waitFor(mine, "job"), waitFor(theirs, "job"), waitFor(mine, "job")])
      const [claim] = yield* claimed(theirs)
      yield* ackWith(theirs, claim, { sum: 7, none: null })
      assert.deepStrictEqual(
        yield* Effect.forEach(waiters, endOf),
        waiters.map(() => succeeded({ sum: 7, none: null }))
      )
      assert.deepStrictEqual(yield* theirs.awaitEnd("job"), succeeded({ sum: 7, none: null }))
    }))

  test("what a job was acknowledged with may be called for after its writes", ({ mine, write }) =>
    Effect.gen(function*() {
      yield* offer(mine, "job")
      const [claim] = yield* claimed(mine)
      let lines = 0
      yield* mine.transact(claim!, Effect.tap(write("line"), () => Effect.sync(() => void lines++)), {
        _tag: "Ack",
        value: () => lines
      })
      assert.deepStrictEqual(yield* mine.awaitEnd("job"), succeeded(1))
    }))

  test("a job that was acknowledged with others, or without a value, has succeeded", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* offer(mine, "a", "b")
      const waiter = yield* waitFor(theirs, "a")
      const claims = [...yield* claimed(mine), ...yield* claimed(mine)]
      assert.deepStrictEqual(yield* mine.acknowledge(claims.filter(({ id }) => id === "a")), [])
      yield* mine.transact(claims.find(({ id }) => id === "b")!, Effect.void, ack)
      const ends = [yield* endOf(waiter), yield* mine.awaitEnd("b")]
      assert.deepStrictEqual(ends.map(({ _tag }) => _tag), ["Succeeded", "Succeeded"])
    }))

  test("a retry, a snooze, a hand-back and a checkpoint are no ends, and a dead letter is", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* offer(mine, "job")
      const waiter = yield* waitFor(theirs, "job")
      const step = (settle: (claim: Claim) => Effect.Effect<unknown, unknown>) =>
        Effect.flatMap(claimed(mine), ([claim]) => settle(claim!))
      yield* step((claim) => mine.retry(claim, { delay: Duration.zero, error: "again" }))
      yield* step((claim) => mine.handBack([claim]))
      yield* step((claim) =>
        mine.transact(claim, Effect.void, { _tag: "Snooze", delay: Duration.zero, cursor: Option.none() })
      )
      yield* step((claim) => mine.transact(claim, Effect.void, { _tag: "Checkpoint", cursor: 1, handBack: true }))
      assert.deepStrictEqual(yield* waiter.poll, Option.none())
      yield* step((claim) => mine.deadLetter(claim, "bad luck"))
      assert.deepStrictEqual([yield* endOf(waiter), yield* mine.awaitEnd("job")], [dead("bad luck"), dead("bad luck")])
    }))

  test("the end of a dead letter has what its job has failed with", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* offer(mine, "job")
      const waiters = yield* Effect.all([waitFor(mine, "job"), waitFor(theirs, "job")])
      const [claim] = yield* claimed(mine)
      const failure = Option.some({ _tag: "Refused", code: 550 })
      yield* mine.deadLetter(claim!, "bad luck", failure)
      const end = dead("bad luck", failure)
      assert.deepStrictEqual([...yield* Effect.forEach(waiters, endOf), yield* mine.awaitEnd("job")], [end, end, end])
    }))

  test("a dead letter that is redriven is awaited as before, and gone when it is discarded", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* offer(mine, "a", "b")
      for (const claim of [...yield* claimed(mine), ...yield* claimed(mine)]) yield* mine.deadLetter(claim, "bad luck")
      yield* mine.deadLetters.redrive(["a"])
      const waiter = yield* waitFor(theirs, "a")
      yield* ackWith(mine, (yield* claimed(mine))[0], "done")
      yield* mine.deadLetters.discard(["b"])
      assert.deepStrictEqual([yield* endOf(waiter), yield* theirs.awaitEnd("b")], [succeeded("done"), gone])
    }))

  test("a job that is cancelled is gone, whether it waits or runs, and so is one that was never offered", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* offer(mine, "runs", "waits")
      const waiters = yield* Effect.all([waitFor(theirs, "runs"), waitFor(theirs, "waits")])
      yield* claimed(mine)
      assert.strictEqual(yield* mine.cancel(["runs", "waits"]), 2)
      assert.deepStrictEqual(yield* Effect.forEach(waiters, endOf), [gone, gone])
      assert.deepStrictEqual(yield* mine.awaitEnd("never"), gone)
      assert.deepStrictEqual(yield* mine.awaitEnd("nul \u0000"), gone)
    }))

  test("a job that was not offered to be awaited may be, before its end", ({ mine, theirs }) =>
    Effect.gen(function*() {
      const [id] = yield* mine.offer(["job"], { ids: ["given"] })
      const waiter = yield* waitFor(theirs, id!)
      yield* ackWith(mine, (yield* claimed(mine))[0], 1)
      // A source that announces no such end sees it when it polls.
      if (conditions.keepsAwaited !== false) assert.deepStrictEqual(yield* endOf(waiter), succeeded(1))
      assert.deepStrictEqual(yield* mine.awaitEnd("given"), succeeded(1))
    }))

  test("so may one without an id of its own, whose end is kept then, or the wait is refused", ({ mine, theirs }) =>
    Effect.gen(function*() {
      const [id] = yield* mine.offer(["job"])
      const waiter = yield* waitFor(theirs, id!)
      if (conditions.keepsAwaited === false) {
        assert.match(String(yield* Effect.flip(Fiber.join(waiter))), /the end of job ".*" is not kept/)
        return
      }
      const [claim] = yield* claimed(mine)
      yield* ackWith(mine, claim, 1)
      assert.deepStrictEqual(yield* endOf(waiter), succeeded(1))
    }))

  test("jobs of a key are awaited as any others, each until its own end", ({ mine, sources, theirs }) =>
    Effect.gen(function*() {
      if (!sources[0].keys) return
      yield* mine.offer(["a", "b"], { ids: ["first", "second"], keys: ["key", "key"], awaited: true })
      const [first, second] = yield* Effect.all([waitFor(theirs, "first"), waitFor(theirs, "second")])
      yield* ackWith(mine, (yield* claimed(mine, 2))[0], 1)
      assert.deepStrictEqual([yield* endOf(first), yield* second.poll], [succeeded(1), Option.none()])
      yield* ackWith(theirs, (yield* claimed(theirs, 2))[0], 2)
      assert.deepStrictEqual(yield* endOf(second), succeeded(2))
    }))

  test("the wait may be interrupted, and leaves the job as it is", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* offer(mine, "job")
      const waiter = yield* waitFor(mine, "job")
      const other = yield* waitFor(mine, "job")
      yield* Fiber.interrupt(waiter)
      const [claim] = yield* claimed(theirs)
      assert.strictEqual(claim!.id, "job")
      yield* ackWith(theirs, claim, "done")
      assert.deepStrictEqual(yield* endOf(other), succeeded("done"))
    }))

  test("the job of a dead process ends in another one", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* offer(mine, "job")
      yield* claimed(mine)
      const waiter = yield* waitFor(mine, "job")
      yield* passTime(Duration.times(lease, 1.1))
      yield* ackWith(theirs, (yield* claimed(theirs))[0], "theirs")
      assert.deepStrictEqual(yield* endOf(waiter), succeeded("theirs"))
    }), "expiring")
}
