import { assert } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import type { Claim, JobQueue } from "../../../src/layers/jobs/JobSource.js"
import { ack, payloads, type Suite } from "./suite.js"

/** Order and mutual exclusion by key. A source that has none refuses keys. */
export const keysConform = (suite: Suite) => {
  const { claimed, completes, lease, passTime, test: anyTest } = suite

  /** A test of sources that have keys. */
  const test = (sentence: string, body: Parameters<typeof anyTest>[1], ...rest: [leases?: "expiring"]) =>
    anyTest(sentence, (fixture) => fixture.sources[0].keys ? body(fixture) : Effect.void, ...rest)

  const end = (queue: JobQueue, claim: Claim | undefined) => queue.transact(claim!, Effect.void, ack)
  const offer = (queue: JobQueue, keyed: Readonly<Record<string, string | undefined>>) =>
    queue.offer(Object.keys(keyed), { keys: Object.values(keyed), ids: Object.keys(keyed) })

  /** Claims until there are so many jobs: a carrier may deliver them one by one. */
  const claimAll = (queue: JobQueue, count: number) =>
    Effect.iterate([] as ReadonlyArray<Claim>, {
      while: (claims) => claims.length < count,
      body: (claims) => Effect.map(claimed(queue, 9), (more) => [...claims, ...more])
    })

  /** Claims what there is, and ends it, until the queue is empty. Returns the payloads in the order of their claims. */
  const runAll = (queue: JobQueue) =>
    Effect.gen(function*() {
      const begun: Array<unknown> = []
      while ((yield* queue.size) > 0) {
        const [claim] = yield* claimed(queue)
        begun.push(claim!.payload)
        yield* end(queue, claim)
      }
      return begun
    })

  anyTest(
    "a key is refused where jobs have no order by key, and so is one that is empty or of no job",
    ({ mine, sources }) =>
      Effect.gen(function*() {
        const refused = (keys: ReadonlyArray<string>) =>
          Effect.map(Effect.flip(mine.offer(["job"], { keys })), ({ message }) => message)
        if (sources[0].keys) {
          assert.match(yield* refused([""]), /offer failed: a key is empty/)
          assert.match(yield* refused(["a", "b"]), /offer failed: there are 1 jobs, but 2 keys/)
        } else {
          assert.match(yield* refused(["a"]), /offer failed: the key "a" cannot be kept: /)
          yield* mine.offer(["job"], { keys: [undefined] })
        }
        assert.strictEqual(yield* mine.size, sources[0].keys ? 0 : 1)
      })
  )

  test("of the jobs of a key one is claimed at a time, in the order of their offers, beside those of other keys and of none", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* offer(mine, { a1: "a", a2: "a", b1: "b", free: undefined })
      yield* offer(theirs, { a3: "a", b2: "b" })
      assert.strictEqual(yield* mine.size, 6)
      const first = yield* claimAll(mine, 3)
      assert.deepStrictEqual(payloads(first).sort(), ["a1", "b1", "free"])
      assert.deepStrictEqual([yield* theirs.claim(9), yield* mine.claim(9), yield* mine.size], [[], [], 3])
      const claims = new Map(first.map((claim) => [claim.id, claim]))
      yield* end(mine, claims.get("a1"))
      const [a2] = yield* claimed(theirs, 9)
      assert.deepStrictEqual([a2!.id, yield* mine.claim(9)], ["a2", []])
      yield* Effect.all([end(theirs, a2), end(mine, claims.get("b1"))])
      assert.deepStrictEqual(payloads(yield* claimAll(mine, 2)).sort(), ["a3", "b2"])
    }))

  test("priority and due time overtake nothing within a key", ({ mine, sources }) =>
    Effect.gen(function*() {
      const one = (id: string, options: Parameters<JobQueue["offer"]>[1]) =>
        mine.offer([id], { ids: [id], keys: ["a"], ...options })
      yield* one("late", { delay: Duration.times(lease, 0.2) })
      yield* one("last of all", sources[0].priorities ? { priority: 9 } : {})
      yield* one("third", {})
      assert.deepStrictEqual(yield* runAll(mine), ["late", "last of all", "third"])
    }))

  test("a job that is retried, snoozed or handed back keeps the turn of its key", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* offer(mine, { one: "a", two: "a" })
      const [first] = yield* claimed(mine)
      yield* mine.retry(first!, { delay: Duration.times(lease, 0.2), error: "bad luck" })
      const second = yield* claimed(theirs, 9)
      yield* theirs.transact(second[0]!, Effect.void, {
        _tag: "Snooze",
        delay: Duration.times(lease, 0.2),
        cursor: Option.none()
      })
      const third = yield* claimed(mine, 9)
      yield* mine.handBack([third[0]!])
      const [fourth, ...others] = yield* claimed(theirs, 9)
      assert.deepStrictEqual([...payloads(second), ...payloads(third), fourth!.id, fourth!.attempt], [
        "one",
        "one",
        "one",
        2
      ])
      assert.deepStrictEqual([others, yield* mine.claim(9)], [[], []])
      yield* end(theirs, fourth)
      assert.deepStrictEqual(yield* runAll(mine), ["two"])
    }))

  test("the job of a dead process keeps the turn of its key", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* offer(mine, { one: "a", two: "a" })
      const [lost] = yield* claimed(mine)
      yield* passTime(Duration.times(lease, 1.1))
      const [won] = yield* claimed(theirs)
      assert.deepStrictEqual([lost!.id, won!.id, won!.orphan], ["one", "one", true])
      assert.deepStrictEqual(yield* mine.claim(9), [])
      yield* end(theirs, won)
      assert.strictEqual((yield* claimed(mine))[0]!.id, "two")
    }), "expiring")

  test("a dead letter gives its turn to the next job of its key, and comes before the others of it when it is redriven", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* offer(mine, { one: "a", two: "a", three: "a" })
      const [one] = yield* claimed(mine)
      yield* mine.deadLetter(one!, "bad luck")
      const [two] = yield* claimed(theirs)
      assert.strictEqual(two!.id, "two")
      assert.strictEqual(yield* mine.deadLetters.redrive(["one"]), 1)
      assert.deepStrictEqual(yield* mine.claim(9), [])
      yield* end(theirs, two)
      assert.deepStrictEqual(yield* runAll(mine), ["one", "three"])
    }))

  test("a job that is cancelled gives up the turn of its key, whether it waits, is blocked or runs", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* offer(mine, { waits: "a", blocked: "a", next: "a", runs: "b", after: "b" })
      assert.strictEqual(yield* mine.cancel(["blocked", "waits"]), 2)
      assert.deepStrictEqual(payloads(yield* claimAll(mine, 2)).sort(), ["next", "runs"])
      assert.strictEqual(yield* theirs.cancel(["runs"]), 1)
      assert.deepStrictEqual(payloads(yield* claimed(theirs, 9)), ["after"])
      assert.strictEqual(yield* mine.size, 0)
    }))

  test("a wait completes when the turn of a key has come", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* offer(mine, { one: "a", two: "a" })
      const [one] = yield* claimed(mine)
      assert.deepStrictEqual(yield* theirs.claim(9), [])
      yield* end(mine, one)
      yield* completes(yield* Effect.fork(theirs.wait))
      assert.strictEqual((yield* claimed(theirs))[0]!.id, "two")
    }))

  test("a job shows its key, and that it is blocked", ({ mine }) =>
    Effect.gen(function*() {
      yield* offer(mine, { one: "a", two: "a", free: undefined })
      yield* claimAll(mine, 2)
      const state = (id: string) =>
        Effect.map(mine.find(id), Option.map(({ key, state }) => [state, Option.getOrNull(key)] as const))
      const { jobs } = yield* mine.list({ state: "Blocked", limit: 9 })
      assert.deepStrictEqual([jobs.map(({ id }) => id), Option.getOrNull(yield* state("two"))], [["two"], [
        "Blocked",
        "a"
      ]])
      assert.deepStrictEqual(Option.getOrNull(yield* state("free"))?.[1], null)
      assert.deepStrictEqual((yield* mine.depth).jobs.Blocked, { count: 1, estimated: false })
    }))
}
