import { assert } from "@effect/vitest"
import { Duration, Effect, Fiber, Option } from "effect"
import { randomUUID } from "node:crypto"
import { type Claim, type Dependency, type JobQueue, UnknownDependency } from "../../../src/layers/jobs/JobSource.js"
import { ack, payloads, type Suite } from "./suite.js"

/** Jobs that depend on others. A source that has no dependencies refuses them. */
export const dependenciesConform = (suite: Suite) => {
  const { claimed, completes, lease, passTime, test: anyTest } = suite

  /** A test of sources that have dependencies. */
  const test: typeof anyTest = (sentence, body, ...rest) =>
    anyTest(sentence, (fixture) => fixture.sources[0].dependencies ? body(fixture) : Effect.void, ...rest)

  const offer = (queue: JobQueue, id: string, dependsOn: ReadonlyArray<Dependency> = [], options = {}) =>
    queue.offer([id], { ids: [id], dependsOn: [dependsOn], ...options })
  const end = (queue: JobQueue, claim: Claim | undefined) => queue.transact(claim!, Effect.void, ack)
  /** Claims until there are so many jobs: a carrier may deliver them one by one. */
  const claimAll = (queue: JobQueue, count: number) =>
    Effect.iterate([] as ReadonlyArray<Claim>, {
      while: (claims) => claims.length < count,
      body: (claims) => Effect.map(claimed(queue, 9), (more) => [...claims, ...more])
    })
  /** Claims these jobs, and no others. */
  const claimThese = (queue: JobQueue, ...ids: ReadonlyArray<string>) =>
    Effect.gen(function*() {
      const claims = yield* claimAll(queue, ids.length)
      assert.deepStrictEqual([payloads(claims).sort(), yield* queue.claim(9)], [[...ids].sort(), []])
      return ids.map((id) => claims.find((claim) => claim.id === id)!)
    })
  const stateOf = (queue: JobQueue, id: string) => Effect.map(queue.find(id), (found) => Option.getOrNull(found)?.state)
  const refused = (offer: ReturnType<JobQueue["offer"]>) =>
    Effect.map(Effect.flip(offer), (error) => {
      assert(error._tag === "JobSourceError" && error.operation === "offer")
      return error
    })
  const errorOf = (queue: JobQueue, id: string) =>
    Effect.map(queue.deadLetters.get(id), (found) => Option.getOrNull(found)?.error)

  anyTest(
    "a dependency is refused where jobs wait for no others, and so are the job itself, and lists for other jobs",
    ({ mine, sources }) =>
      Effect.gen(function*() {
        const messageOf = (...args: Parameters<JobQueue["offer"]>) =>
          Effect.map(refused(mine.offer(...args)), ({ message }) => message)
        if (sources[0].dependencies) {
          assert.match(yield* messageOf(["job"], { ids: ["a"], dependsOn: [["a"]] }), /the job "a" depends on itself/)
          assert.match(yield* messageOf(["job"], { dependsOn: [] }), /there are 1 jobs, but 0 lists of jobs/)
        } else {
          assert.match(yield* messageOf(["job"], { dependsOn: [["a"]] }), /a job cannot wait for the job "a": /)
          yield* mine.offer(["job"], { dependsOn: [[]] })
        }
        assert.strictEqual(yield* mine.size, sources[0].dependencies ? 0 : 1)
      })
  )

  test("a job is blocked until all that it depends on has succeeded, in whatever process", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* mine.offer(["a", "b", "c"], { ids: ["a", "b", "c"] })
      yield* offer(theirs, "last", ["a", "b", "b", "c"])
      const [a, b, c] = yield* claimThese(mine, "a", "b", "c")
      assert.deepStrictEqual([yield* stateOf(mine, "last"), yield* mine.size], ["Blocked", 1])
      const { jobs } = yield* theirs.list({ state: "Blocked", limit: 9 })
      assert.deepStrictEqual(jobs.map(({ id, key }) => [id, Option.isNone(key)]), [["last", true]])
      assert.deepStrictEqual((yield* theirs.depth).jobs.Blocked, { count: 1, estimated: false })
      assert.deepStrictEqual(yield* mine.acknowledge([a!, c!]), [])
      assert.deepStrictEqual([yield* theirs.claim(9), yield* stateOf(theirs, "last")], [[], "Blocked"])
      const waiting = yield* Effect.fork(theirs.wait)
      yield* end(mine, b)
      yield* completes(waiting)
      const [last] = yield* claimThese(theirs, "last")
      assert.deepStrictEqual([last!.attempt, last!.orphan], [1, false])
    }))

  test("a retry, a snooze and a hand-back are no successes, and a dead letter that is redriven may yet be one", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* offer(mine, "first")
      yield* offer(mine, "second", ["first"])
      const step = (settle: (claim: Claim) => Effect.Effect<unknown, unknown>) =>
        Effect.flatMap(claimThese(mine, "first"), ([claim]) => settle(claim!))
      yield* step((claim) => mine.retry(claim, { delay: Duration.zero, error: "again" }))
      yield* step((claim) => mine.handBack([claim]))
      yield* step((claim) =>
        mine.transact(claim, Effect.void, { _tag: "Snooze", delay: Duration.zero, cursor: Option.none() })
      )
      yield* step((claim) => mine.deadLetter(claim, "bad luck"))
      assert.deepStrictEqual([yield* theirs.claim(9), yield* stateOf(theirs, "second")], [[], "Blocked"])
      yield* offer(theirs, "third", ["first"])
      yield* theirs.deadLetters.redrive(["first"])
      yield* step((claim) => end(mine, claim))
      yield* claimThese(theirs, "second", "third")
    }))

  test("a job that has succeeded counts for as long as its id is kept, and any other that is not known is refused by name", ({ mine, theirs }) =>
    Effect.gen(function*() {
      const [generated] = yield* mine.offer(["generated"])
      yield* offer(mine, "kept")
      yield* offer(mine, "free", [], { keepIdFor: Duration.zero })
      yield* offer(mine, "cancelled")
      yield* mine.cancel(["cancelled"])
      for (const claim of yield* claimAll(mine, 3)) yield* end(theirs, claim)
      yield* offer(theirs, "job", ["kept"])
      yield* end(theirs, (yield* claimThese(theirs, "job"))[0])
      const elsewhere = { queue: "nowhere", id: "kept" }
      for (const unknown of ["free", generated!, "cancelled", "never", "nul \u0000", elsewhere]) {
        const before = yield* mine.size
        const jobs = { ids: ["x", "y"], dependsOn: [undefined, ["kept", unknown]] }
        const { cause, message, queue } = yield* refused(mine.offer(["x", "y"], jobs))
        const ref = typeof unknown === "string" ? { queue, id: unknown } : unknown
        assert(cause instanceof UnknownDependency)
        assert.deepStrictEqual({ queue: cause.queue, id: cause.id }, ref)
        assert.include(message, `it depends on the job ${JSON.stringify(ref.id)} of the queue "${ref.queue}"`)
        assert.deepStrictEqual([yield* mine.size, yield* stateOf(mine, "x")], [before, undefined])
      }
    }))

  test("a job that is there is not offered again, whatever has become of what it depends on", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* offer(mine, "first", [], { keepIdFor: Duration.zero })
      yield* offer(mine, "second", ["first"])
      const [first] = yield* claimThese(mine, "first")
      yield* end(mine, first)
      assert.deepStrictEqual(yield* offer(theirs, "second", ["never"]), ["second"])
      const [second] = yield* claimThese(theirs, "second")
      yield* end(theirs, second)
      assert.deepStrictEqual(yield* offer(theirs, "second", ["never"]), ["second"])
      assert.strictEqual(yield* mine.size, 0)
    }))

  test("a job that depends on one which is cancelled, or discarded, becomes a dead letter that names it", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* mine.offer(["waits", "runs", "dies"], { ids: ["waits", "runs", "dies"] })
      yield* Effect.forEach(["waits", "runs", "dies"], (id) => offer(mine, `after ${id}`, [id]))
      yield* offer(mine, "chain", ["after waits"])
      const [dies] = yield* claimThese(mine, "waits", "runs", "dies").pipe(
        Effect.flatMap(([waits, , dies]) => Effect.as(mine.handBack([waits!]), [dies!]))
      )
      yield* mine.deadLetter(dies!, "bad luck")
      assert.strictEqual(yield* theirs.cancel(["waits", "runs"]), 2)
      assert.strictEqual(yield* theirs.deadLetters.discard(["dies"]), 1)
      for (const id of ["waits", "runs", "dies"]) {
        assert.strictEqual(yield* stateOf(mine, `after ${id}`), "Dead")
        assert.match(
          (yield* errorOf(mine, `after ${id}`))!,
          new RegExp(
            `^it depends on the job ${id} of the queue .*, which is gone: cancelled, or its dead letter discarded$`
          )
        )
      }
      assert.deepStrictEqual([yield* stateOf(mine, "chain"), yield* mine.claim(9), yield* mine.size], [
        "Blocked",
        [],
        1
      ])
      assert.strictEqual(yield* mine.deadLetters.redrive(["after waits"]), 1)
      yield* end(mine, (yield* claimThese(mine, "after waits"))[0])
      yield* claimThese(theirs, "chain")
    }))

  test("such a dead letter waits for the others that it depends on when it is redriven", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* mine.offer(["a", "b", "c"], { ids: ["a", "b", "c"] })
      yield* offer(mine, "job", ["a", "b", "c"])
      const [a, b] = yield* claimThese(mine, "a", "b", "c")
      yield* mine.cancel(["c"])
      yield* end(mine, a)
      assert.strictEqual(yield* stateOf(theirs, "job"), "Dead")
      yield* theirs.deadLetters.redrive(["job"])
      assert.deepStrictEqual([yield* theirs.claim(9), yield* stateOf(theirs, "job")], [[], "Blocked"])
      yield* end(mine, b)
      yield* claimThese(theirs, "job")
    }))

  test("a job that waits for others is cancelled as any other, and its id is free", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* mine.offer(["a", "b"], { ids: ["a", "b"] })
      yield* offer(mine, "job", ["a"])
      assert.strictEqual(yield* theirs.cancel(["job"]), 1)
      yield* offer(mine, "job", ["b"])
      const [a, b] = yield* claimThese(mine, "a", "b")
      yield* end(mine, a)
      assert.deepStrictEqual([yield* mine.claim(9), yield* stateOf(mine, "job")], [[], "Blocked"])
      yield* end(theirs, b)
      yield* claimThese(theirs, "job")
    }))

  test("a job with a key waits for both, and holds up no other of its key until then", ({ mine, sources, theirs }) =>
    Effect.gen(function*() {
      if (!sources[0].keys) return
      yield* offer(mine, "first")
      yield* offer(mine, "job", ["first"], { keys: ["key"] })
      yield* offer(mine, "other", [], { keys: ["key"] })
      yield* offer(mine, "last", [], { keys: ["key"] })
      const [first, other] = yield* claimThese(mine, "first", "other")
      const found = yield* theirs.find("job")
      assert.deepStrictEqual(
        Option.map(found, ({ key, state }) => [state, key]),
        Option.some(["Blocked", Option.some("key")])
      )
      const { jobs } = yield* theirs.list({ state: "Blocked", limit: 9 })
      assert.deepStrictEqual(jobs.map(({ id }) => id), ["job", "last"])
      yield* end(mine, first)
      assert.deepStrictEqual([yield* theirs.claim(9), yield* stateOf(theirs, "job")], [[], "Blocked"])
      yield* end(mine, other)
      yield* end(theirs, (yield* claimThese(theirs, "job"))[0])
      yield* claimThese(mine, "last")
    }))

  test("a job with a delay waits for both", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* offer(mine, "first")
      yield* offer(mine, "later", ["first"], { delay: Duration.hours(1) })
      yield* offer(mine, "soon", ["first"], { delay: Duration.times(lease, 0.1) })
      const [first] = yield* claimThese(mine, "first")
      yield* passTime(Duration.times(lease, 0.2))
      assert.deepStrictEqual(yield* mine.claim(9), [])
      yield* end(mine, first)
      yield* claimThese(theirs, "soon")
      assert.strictEqual(yield* stateOf(mine, "later"), "Delayed")
    }))

  test("a job may depend on one of another queue of the source", ({ mine, sources, theirs }) =>
    Effect.gen(function*() {
      const queue = `other-${randomUUID()}`
      const other = yield* sources[0].open({ name: queue, lease: Duration.minutes(10) })
      yield* other.offer(["a", "b"], { ids: ["a", "b"] })
      yield* offer(mine, "a", [{ queue, id: "a" }])
      yield* offer(mine, "b", [{ queue, id: "b" }])
      const [a] = yield* claimThese(other, "a", "b")
      assert.deepStrictEqual(yield* mine.claim(9), [])
      const waiting = yield* Effect.fork(theirs.wait)
      yield* end(other, a)
      yield* completes(waiting)
      yield* claimThese(theirs, "a")
      yield* other.cancel(["b"])
      assert.match(
        (yield* errorOf(mine, "b"))!,
        new RegExp(`it depends on the job b of the queue ${queue}, which is gone`)
      )
    }))

  test("jobs of one transaction depend on each other, and on one that it ends", ({ mine, theirs, transaction }) =>
    Effect.gen(function*() {
      yield* offer(mine, "running")
      const [running] = yield* claimThese(mine, "running")
      yield* (transaction ?? ((effect) => effect))(Effect.gen(function*() {
        yield* offer(mine, "a", ["running"])
        yield* offer(mine, "b", ["a"])
        yield* end(mine, running)
        yield* offer(mine, "c", ["running"])
      }))
      const [a] = yield* claimThese(theirs, "a", "c")
      yield* end(theirs, a)
      yield* claimThese(theirs, "b")
    }))

  test("the end of a job that waits for others is awaited as any other", ({ mine, theirs }) =>
    Effect.gen(function*() {
      yield* mine.offer(["a", "b"], { ids: ["a", "b"] })
      const waitFor = (id: string) =>
        Effect.tap(Effect.fork(theirs.awaitEnd(id)), () => passTime(Duration.times(lease, 0.05)))
      yield* offer(mine, "runs", ["a"], { awaited: true })
      yield* offer(mine, "dies", ["b"], { awaited: true })
      const waiting = yield* Effect.all([waitFor("runs"), waitFor("dies")])
      const [a] = yield* claimThese(mine, "a", "b")
      yield* end(mine, a)
      yield* end(mine, (yield* claimThese(mine, "runs"))[0])
      yield* mine.cancel(["b"])
      yield* Effect.forEach(waiting, (fiber) => completes(fiber))
      const ends = yield* Fiber.join(Fiber.all(waiting))
      assert.deepStrictEqual(ends.map(({ _tag }) => _tag), ["Succeeded", "DeadLettered"])
    }))
}
