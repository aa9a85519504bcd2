import { assert, describe, it } from "@effect/vitest"
import { DateTime, Deferred, Duration, Effect, Exit, Fiber, Option, type Scope } from "effect"
import type { Claim, JobQueue, Service } from "../../src/layers/jobs/JobSource.js"

/** A fresh store for one test, and what the test needs of it. */
export interface World {
  /** Two sources over the one store, as two processes have them. Memory gives the same one twice. */
  readonly sources: readonly [Service, Service]
  /** Writes that take part in the engine's transactions, where it has them. */
  readonly write: (line: string) => Effect.Effect<void, unknown>
  readonly written: Effect.Effect<ReadonlyArray<string>, unknown>
  /** Runs an effect in a transaction of the application, where the engine joins those. */
  readonly transaction?: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, unknown>
}

export interface Conditions {
  readonly make: Effect.Effect<World, unknown, Scope.Scope>
  /** How long leases last in tests where one runs out: short where time is real. */
  readonly lease: Duration.DurationInput
  /** Lets time pass: `TestClock.adjust`, or `Effect.sleep` where it is real. */
  readonly passTime: (duration: Duration.DurationInput) => Effect.Effect<void>
  /** Engines with I/O run in real time. */
  readonly live: boolean
  /** Whether a transaction that fails takes its writes back. */
  readonly transactional: boolean
}

const payloads = (claims: ReadonlyArray<Claim>) => claims.map((claim) => claim.payload)
const ack = { _tag: "Ack" } as const

/** What every engine behind the `JobSource` contract must do. */
export const jobSourceConformance = (name: string, conditions: Conditions) => {
  const lease = Duration.decode(conditions.lease)
  const { passTime } = conditions
  let opened = 0

  interface Bench extends World {
    readonly mine: JobQueue
    readonly theirs: JobQueue
  }

  /** Leases last, however slow the machine is, unless the test is about one that runs out. */
  const test = (
    sentence: string,
    body: (bench: Bench) => Effect.Effect<unknown, unknown, Scope.Scope>,
    leases?: "running out"
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

  /** Asks again while time passes, for as long as twenty leases. */
  const eventually = <A, E>(effect: Effect.Effect<A, E>, found: (value: A) => boolean) =>
    Effect.zipLeft(effect, passTime(Duration.times(lease, 0.05))).pipe(
      Effect.repeat({ until: found, times: 400 }),
      Effect.filterOrDie(found, () => new Error("it never happened"))
    )
  const claimed = (queue: JobQueue, count = 1) => eventually(queue.claim(count), (claims) => claims.length > 0)
  const completes = <E>(fiber: Fiber.RuntimeFiber<void, E>) => eventually(fiber.poll, Option.isSome)
  /** Lets a lease run out, and gives the job to the other consumer. */
  const lose = ({ mine, theirs }: Bench) =>
    Effect.gen(function*() {
      yield* mine.offer(["job"])
      const [lost] = yield* mine.claim(1)
      yield* passTime(Duration.times(lease, 1.1))
      const [won] = yield* claimed(theirs)
      return { lost: lost!, won: won! }
    })

  describe(`${name} conforms to JobSource:`, () => {
    test("jobs come as they were offered, oldest first, as many as asked for", ({ mine }) =>
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

    test("two consumers never share a job, and miss none", ({ mine, theirs }) =>
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
      }), "running out")

    test("a delayed job is counted, and not available before its time", ({ mine }) =>
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

    test("a retry spends the attempt, and is not available before its delay", ({ mine }) =>
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

    test("jobs handed back are available at once, first in line, with the attempts they had", ({ mine, theirs }) =>
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

    test("a holder that handed its job back can do nothing to it any more", ({ mine, theirs, write, written }) =>
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

    test("a hand-back, and an offer, wake who waits, at whatever moment they come", ({ mine, theirs }) =>
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

    test("waiting completes when there is something already", ({ mine }) =>
      Effect.gen(function*() {
        yield* mine.offer(["job"])
        yield* completes(yield* Effect.fork(mine.wait))
      }))

    test("waiting may be interrupted at any time, and loses nothing", ({ mine, theirs }) =>
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
      "a job that was given up is among the dead letters, with its payload, its cursor and its error",
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
      "running out"
    )

    test("dead letters of the same moment are listed page by page, each once", ({ mine }) =>
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

    test("a dead letter that is retried is a job again: same id, all its attempts, its cursor unless from the start", (bench) =>
      Effect.gen(function*() {
        const { mine, theirs } = bench
        const ids = yield* mine.offer(["a", "b"])
        const bury = (claim: Claim) =>
          Effect.zipRight(
            mine.transact(claim, Effect.void, { _tag: "Checkpoint", cursor: 7, handBack: false }),
            mine.deadLetter(claim, "no")
          )
        const [a, b] = yield* mine.claim(2)
        yield* mine.retry(a!, { delay: Duration.zero, error: "bad luck" })
        yield* bury((yield* claimed(mine))[0]!)
        yield* bury(b!)
        yield* theirs.claim(1)
        const woken = yield* Effect.fork(Effect.repeatN(theirs.wait, 1))
        assert.strictEqual(yield* mine.deadLetters.redrive([ids[0]!, "nobody"]), 1)
        yield* completes(woken)
        assert.strictEqual(yield* mine.deadLetters.redrive([ids[0]!]), 0)
        assert.strictEqual(yield* mine.deadLetters.redrive([ids[1]!], { fromStart: true }), 1)
        const again = yield* theirs.claim(2)
        assert.deepStrictEqual(
          again.map(({ token: _, ...claim }) => claim).sort((a, b) =>
            String(a.payload).localeCompare(String(b.payload))
          ),
          [
            { id: ids[0], payload: "a", attempt: 1, cursor: Option.some(7) },
            { id: ids[1], payload: "b", attempt: 1, cursor: Option.none() }
          ]
        )
        assert.deepStrictEqual(yield* mine.deadLetters.list(9), [])
        const stale = yield* Effect.flip(mine.transact(a!, Effect.void, ack))
        assert.strictEqual((stale as { _tag?: string })._tag, "LeaseLost")
        const [next] = again
        yield* theirs.retry(next!, { delay: Duration.zero, error: "bad luck" })
        assert.strictEqual((yield* claimed(mine))[0]!.attempt, 2)
      }))

    test("a dead letter that is discarded is forgotten", ({ mine }) =>
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
      "an id that is held is offered in vain, until its job is acknowledged",
      ({ mine, theirs }) =>
        Effect.gen(function*() {
          const uuid = "018f4e2a-0000-7000-8000-000000000000"
          const ids = [uuid, "order: 42"]
          assert.deepStrictEqual(yield* mine.offer(["a", "b"], { ids }), ids)
          const offerAgain = mine.offer(["A", "B", "c"], { ids: [...ids, "c"] })
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

    test("an offer with too few ids, or too many, is refused", ({ mine }) =>
      Effect.gen(function*() {
        for (const ids of [["a"], ["a", "b", "c"]]) {
          const { message } = yield* Effect.flip(mine.offer([1, 2], { ids }))
          assert.match(message, new RegExp(`there are 2 jobs, but ${ids.length} ids$`))
        }
        assert.strictEqual(yield* mine.size, 0)
      }))

    test("what is held of a job can be looked at", ({ mine }) =>
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
      "a lease that ran out costs an attempt, and whoever held it can do nothing any more",
      (bench) =>
        Effect.gen(function*() {
          const { mine, theirs, write, written } = bench
          const { lost, won } = yield* lose(bench)
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
      "running out"
    )

    test(
      "a lease of a finished job is not a lease of a later job with the same id",
      (bench) =>
        Effect.gen(function*() {
          const { mine, theirs, write, written } = bench
          const ids = ["order: 42"]
          yield* mine.offer(["first"], { ids })
          const [stale] = yield* mine.claim(1)
          yield* passTime(Duration.times(lease, 1.1))
          yield* theirs.transact((yield* claimed(theirs))[0]!, write("first"), ack)
          yield* theirs.offer(["second"], { ids })
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
      "running out"
    )

    test("a hand-back passes over the jobs whose lease is gone", (bench) =>
      Effect.gen(function*() {
        const { mine, theirs } = bench
        const { lost } = yield* lose(bench)
        yield* mine.offer(["other"])
        const [held] = yield* mine.claim(1)
        assert.deepStrictEqual(yield* mine.handBack([lost, held!]), [lost])
        assert.deepStrictEqual(payloads(yield* theirs.claim(9)), ["other"])
      }), "running out")

    test("a settled job cannot be settled again", ({ mine, write, written }) =>
      Effect.gen(function*() {
        yield* mine.offer(["job"])
        const [claim] = yield* mine.claim(1)
        yield* mine.transact(claim!, write("once"), ack)
        const refused = yield* Effect.flip(mine.transact(claim!, write("twice"), ack))
        assert.strictEqual((refused as { _tag?: string })._tag, "LeaseLost")
        assert.deepStrictEqual(yield* written, ["once"])
      }))

    test("a lease that is renewed does not run out", ({ mine, theirs }) =>
      Effect.gen(function*() {
        yield* mine.offer(["job"])
        const [claim] = yield* mine.claim(1)
        for (let beat = 0; beat < 6; beat++) {
          yield* passTime(Duration.times(lease, 0.4))
          assert.deepStrictEqual(yield* mine.renew([claim!]), [])
          assert.deepStrictEqual(yield* theirs.claim(1), [])
        }
        yield* mine.transact(claim!, Effect.void, ack)
      }), "running out")

    test("a checkpoint's cursor survives hand-backs, retries and lost leases", (bench) =>
      Effect.gen(function*() {
        const { mine, theirs, write, written } = bench
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
      }), "running out")

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

    test("an offer, and the retry of a dead letter, join the transaction they are made in", ({ mine, transaction }) =>
      transaction === undefined ? Effect.void : Effect.gen(function*() {
        yield* Effect.exit(transaction(Effect.zipRight(mine.offer(["rolled back"]), Effect.fail("no"))))
        assert.deepStrictEqual(yield* mine.claim(9), [])
        yield* transaction(mine.offer(["committed"]))
        const [claim] = yield* mine.claim(9)
        assert.strictEqual(claim!.payload, "committed")
        yield* mine.deadLetter(claim!, "no")
        yield* Effect.exit(transaction(Effect.zipRight(mine.deadLetters.redrive([claim!.id]), Effect.fail("no"))))
        assert.strictEqual((yield* mine.deadLetters.list(9)).length, 1)
      }))
  })
}
