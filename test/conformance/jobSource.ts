import { assert, describe, it } from "@effect/vitest"
import { Cause, DateTime, Deferred, Duration, Effect, Exit, Fiber, Option, type Scope } from "effect"
import type { Claim, JobQueue, Service } from "../../src/layers/jobs/JobSource.js"

/** A new store for one test. */
interface World {
  /** Two sources over the store, as two processes have them. Memory has the same one twice. */
  readonly sources: readonly [Service, Service]
  /** A write that joins the engine's transactions, where it has them. */
  readonly write: (line: string) => Effect.Effect<void, unknown>
  readonly written: Effect.Effect<ReadonlyArray<string>, unknown>
  /** Runs an effect in a transaction of the application, where the engine joins such transactions. */
  readonly transaction?: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, unknown>
}

export interface Conditions {
  readonly make: Effect.Effect<World, unknown, Scope.Scope>
  /** The lease in tests in which it expires: short in real time. */
  readonly lease: Duration.DurationInput
  /** `TestClock.adjust`, or `Effect.sleep` in real time. */
  readonly passTime: (duration: Duration.DurationInput) => Effect.Effect<void>
  /** Whether the tests run in real time, as engines with I/O need. */
  readonly live: boolean
  /** Whether a transaction that fails rolls its writes back. */
  readonly transactional: boolean
}

const payloads = (claims: ReadonlyArray<Claim>) => claims.map((claim) => claim.payload)
const ack = { _tag: "Ack" } as const

/** The suite that every implementation of `JobSource` passes. */
export const jobSourceConformance = (name: string, conditions: Conditions) => {
  const lease = Duration.decode(conditions.lease)
  const { passTime } = conditions
  let opened = 0

  interface Fixture extends World {
    readonly mine: JobQueue
    readonly theirs: JobQueue
  }

  /** Leases do not expire, however slow the machine is, unless the test is about expiry. */
  const test = (
    sentence: string,
    body: (fixture: Fixture) => Effect.Effect<unknown, unknown, Scope.Scope>,
    leases?: "expiring"
  ) =>
    (conditions.live ? it.scopedLive : it.scoped)(sentence, () =>
      Effect.gen(function*() {
        const world = yield* conditions.make
        const options = {
          name: `conformance-${++opened}`,
          lease: leases === undefined ? Duration.minutes(10) : lease
        }
        const mine = yield* world.sources[0].open(options)
        const theirs = yield* world.sources[1].open(options)
        yield* body({ ...world, mine, theirs })
      }), 30_000)

  /** Repeats an effect while time passes, for up to twenty leases. */
  const eventually = <A, E>(effect: Effect.Effect<A, E>, found: (value: A) => boolean) =>
    Effect.zipLeft(effect, passTime(Duration.times(lease, 0.05))).pipe(
      Effect.repeat({ until: found, times: 400 }),
      Effect.filterOrDie(found, () => new Error("the expected value never came"))
    )
  const claimed = (queue: JobQueue, count = 1) => eventually(queue.claim(count), (claims) => claims.length > 0)
  const completes = <E>(fiber: Fiber.RuntimeFiber<void, E>) => eventually(fiber.poll, Option.isSome)
  /** Lets a lease expire, and claims the job with the other consumer. */
  const lose = ({ mine, theirs }: Fixture) =>
    Effect.gen(function*() {
      yield* mine.offer(["job"])
      const [lost] = yield* mine.claim(1)
      yield* passTime(Duration.times(lease, 1.1))
      const [won] = yield* claimed(theirs)
      return { lost: lost!, won: won! }
    })

  describe(`${name} conforms to JobSource:`, () => {
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
              Effect.map(queue.claim(7), (claims) =>
                claims.length === 0 ? [...all, "end"] : [...all, ...payloads(claims)])
          })
        const taken = yield* Effect.all([drain(mine), drain(theirs)], { concurrency: "unbounded" })
        const all = taken.flat().filter((job) =>
          job !== "end"
        ).map(Number)
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

    test("jobs that are handed back are available at once, before later ones, with their attempts kept", ({ mine, theirs }) =>
      Effect.gen(function*() {
        yield* mine.offer(["a", "b", "c"])
        const [a] = yield* mine.claim(1)
        yield* mine.retry(a!, { delay: Duration.zero, error: "bad luck" })
        const claims = yield* mine.claim(2)
        assert.deepStrictEqual(yield* mine.handBack(claims), [])
        assert.deepStrictEqual(yield* mine.handBack(claims), claims)
        for (let handBacks = 0; handBacks < 5; handBacks++) yield* mine.handBack(yield* mine.claim(2))
        const again = yield* theirs.claim(2)
        assert.deepStrictEqual(again.map((_) => [_.payload, _.attempt]), claims.map((_) => [_.payload, _.attempt]))
        assert.isTrue(again.every((_) => _.attempt === (_.payload === "a" ? 2 : 1)))
      }))

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
            { id: ids[0], payload: { n: 1 }, cursor: Option.none(), error: "first", attempt: 1 },
            { id: ids[1], payload: { n: 2 }, cursor: Option.some(7), error: "second", attempt: 2 }
          ])
          assert.isTrue(DateTime.lessThan(letters[0]!.failedAt, letters[1]!.failedAt))
          assert.deepStrictEqual(yield* mine.deadLetters.list(1), letters.slice(0, 1))
          assert.deepStrictEqual(yield* mine.deadLetters.list(9, letters[0]), letters.slice(1))
          assert.deepStrictEqual(yield* mine.deadLetters.get(ids[1]!), Option.some(letters[1]!))
        }),
      "expiring"
    )

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
          again.map(({ token: _, ...claim }) => claim).sort((a, b) =>
            String(a.payload).localeCompare(String(b.payload))
          ),
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

    test(
      "offering an id that the queue has changes nothing, until its job is acknowledged",
      ({ mine, theirs }) =>
        Effect.gen(function*() {
          const uuid = "018f4e2a-0000-7000-8000-000000000000"
          const ids = [uuid, "order: 42"]
          assert.deepStrictEqual(yield* mine.offer(["a", "b"], { ids }), ids)
          const offerAgain = mine.offer(["A", "B", "c"], { ids: [...ids, "c"], keepIdFor: 0 })
          assert.deepStrictEqual(yield* offerAgain, [...ids, "c"])
          const claims = yield* theirs.claim(9)
          assert.deepStrictEqual(claims.map(({ id, payload }) => [id, payload]), [
            [uuid, "a"],
            ["order: 42", "b"],
            ["c", "c"]
          ])
          yield* offerAgain
          yield* theirs.retry(claims[0]!, { delay: Duration.minutes(1), error: "bad luck" })
          yield* theirs.deadLetter(claims[1]!, "no")
          yield* offerAgain
          assert.deepStrictEqual(yield* theirs.claim(9), [])
          yield* theirs.transact(claims[2]!, Effect.void, ack)
          yield* offerAgain
          assert.deepStrictEqual(payloads(yield* theirs.claim(9)), ["c"])
        })
    )

    test(
      "an id is kept for a while after its job was acknowledged, and offering it again changes nothing",
      ({ mine, theirs }) =>
        Effect.gen(function*() {
          const keepIdFor = Duration.times(lease, 1.5)
          const acknowledge = (claim: Claim | undefined) => mine.transact(claim!, Effect.void, ack)
          for (const _ of [1, 2]) {
            yield* mine.offer(["once"], { ids: ["by name"], keepIdFor })
            yield* mine.offer(["once"], { ids: ["by default"] })
            const claims = [...yield* claimed(mine), ...yield* mine.claim(9)]
            yield* mine.retry(claims[0]!, { delay: Duration.zero, error: "bad luck" })
            yield* acknowledge((yield* claimed(mine))[0])
            yield* Effect.forEach(claims.slice(1), acknowledge)
            yield* theirs.offer(["twice", "twice"], { ids: ["by name", "by default"] })
            assert.deepStrictEqual(yield* theirs.claim(9), [])
            assert.deepStrictEqual([yield* theirs.size, yield* theirs.find("by name")], [0, Option.none()])
            yield* passTime(Duration.times(keepIdFor, 1.1))
          }
          yield* theirs.offer(["free", "not free"], { ids: ["by name", "by default"], keepIdFor })
          assert.deepStrictEqual(payloads(yield* claimed(theirs, 9)), ["free"])
        })
    )

    test("an id that the engine makes is none that was given", ({ mine }) =>
      Effect.gen(function*() {
        const given = Array.from({ length: 20 }, (_, n) => String(n))
        yield* mine.offer(given, { ids: given })
        yield* mine.offer(["made"])
        yield* mine.offer(["20", "21", "22", "23"], { ids: ["20", "21", "22", "23"] })
        assert.strictEqual(yield* mine.size, 25)
      }))

    test("an id that is offered while its job is being acknowledged is kept as well", ({ mine, theirs }) =>
      Effect.gen(function*() {
        const ids = ["order: 42"]
        yield* mine.offer(["once"], { ids })
        const [claim] = yield* mine.claim(1)
        const writes = Effect.zipLeft(
          Effect.fork(theirs.offer(["twice"], { ids })),
          Effect.repeatN(Effect.yieldNow(), 20)
        )
        const offer = yield* mine.transact(claim!, writes, ack)
        assert.deepStrictEqual(yield* Fiber.join(offer), ids)
        assert.deepStrictEqual(yield* theirs.claim(1), [])
        assert.strictEqual(yield* mine.size, 0)
      }))

    test("an offer with too few or too many ids is refused", ({ mine }) =>
      Effect.gen(function*() {
        for (const ids of [["a"], ["a", "b", "c"]]) {
          const { message } = yield* Effect.flip(mine.offer([1, 2], { ids }))
          assert.match(message, new RegExp(`there are 2 jobs, but ${ids.length} ids$`))
        }
        assert.strictEqual(yield* mine.size, 0)
      }))

    test("a payload or a cursor that the engine cannot encode fails with a typed error, and changes nothing", ({ mine, written, write }) =>
      Effect.gen(function*() {
        yield* mine.offer([{ n: 1 }])
        const refusal = (exit: Exit.Exit<unknown, unknown>) =>
          Exit.isFailure(exit) && Cause.isFailType(exit.cause)
            ? (exit.cause.error as { _tag?: string })._tag
            : exit._tag
        const offer = refusal(yield* Effect.exit(mine.offer([{ n: 2 }, { n: 3n }])))
        const [claim] = yield* mine.claim(1)
        const checkpoint = { _tag: "Checkpoint", cursor: 3n, handBack: false } as const
        const settled = refusal(yield* Effect.exit(mine.transact(claim!, write("a"), checkpoint)))
        // The engine in memory encodes nothing.
        if (offer === "Success") return assert.strictEqual(settled, "Success")
        assert.deepStrictEqual([offer, settled], ["JobSourceError", "JobSourceError"])
        assert.strictEqual(yield* mine.size, 0)
        if (conditions.transactional) assert.deepStrictEqual(yield* written, [])
        yield* mine.transact(claim!, Effect.void, ack)
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
          assert.deepStrictEqual((yield* claimed(mine)).map(({ id, orphan }) => [id, orphan]), [[orphan!.id, false]])
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

    test("writes that fail, die or are interrupted settle nothing", ({ mine, write, written }) =>
      Effect.gen(function*() {
        yield* mine.offer(["job"])
        const [claim] = yield* mine.claim(1)
        const failing = (ending: Effect.Effect<never, string>) =>
          Effect.exit(mine.transact(claim!, Effect.zipRight(write("lost"), ending), ack))
        assert.strictEqual(yield* Effect.flip(mine.transact(claim!, Effect.fail("typed"), ack)), "typed")
        assert.isTrue(Exit.isFailure(yield* failing(Effect.fail("typed"))))
        assert.isTrue(Exit.isFailure(yield* failing(Effect.die("defect"))))
        const begun = yield* Deferred.make<void>()
        const fiber = yield* Effect.fork(failing(Effect.zipRight(Deferred.succeed(begun, void 0), Effect.never)))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(fiber)
        if (conditions.transactional) assert.deepStrictEqual(yield* written, [])
        assert.deepStrictEqual(yield* mine.renew([claim!]), [])
        yield* mine.transact(claim!, write("kept"), ack)
        assert.strictEqual((yield* written).at(-1), "kept")
      }))

    if (!conditions.transactional) return

    test("an offer and a redrive join the caller's transaction", ({ mine, transaction }) =>
      Effect.gen(function*() {
        assert.isDefined(transaction)
        yield* Effect.exit(transaction!(Effect.zipRight(mine.offer(["rolled back"]), Effect.fail("no"))))
        assert.deepStrictEqual(yield* mine.claim(9), [])
        yield* transaction!(mine.offer(["committed"]))
        const [claim] = yield* mine.claim(9)
        assert.strictEqual(claim!.payload, "committed")
        yield* mine.deadLetter(claim!, "no")
        yield* Effect.exit(transaction!(Effect.zipRight(mine.deadLetters.redrive([claim!.id]), Effect.fail("no"))))
        assert.strictEqual((yield* mine.deadLetters.list(9)).length, 1)
      }))
  })
}
