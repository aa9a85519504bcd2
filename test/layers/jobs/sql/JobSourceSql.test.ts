import { SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Fiber, Option } from "effect"
import type { JobQueue, Settlement } from "../../../../src/layers/jobs/JobSource.js"
import { take, takeWaiting } from "../JobSourceWorld.js"
import { afterClaim, describeEngines, source, twoProcesses } from "./JobSourceSqlWorld.js"

const ack: Settlement = { _tag: "Ack" }
const checkpoint = (cursor: unknown): Settlement => ({ _tag: "Checkpoint", cursor, handBack: false })
const handBack = (cursor: unknown): Settlement => ({ _tag: "Checkpoint", cursor, handBack: true })
const at = (seconds: number) => ({ delay: Duration.seconds(seconds), error: "not this time" })

const payloads = (jobs: ReadonlyArray<{ readonly payload: unknown }>) => jobs.map(({ payload }) => payload)

/** Settles a claim in every way, and returns the name of each with its result. */
const settleInEveryWay = (
  queue: JobQueue,
  claim: Parameters<JobQueue["transact"]>[0],
  write: Effect.Effect<unknown, unknown>
) =>
  Effect.all({
    ack: queue.transact(claim, write, ack),
    checkpoint: queue.transact(claim, write, checkpoint(1)),
    checkpointAndHandBack: queue.transact(claim, write, handBack(1)),
    retry: queue.retry(claim, at(0)),
    deadLetter: queue.deadLetter(claim, "no")
  }, { mode: "either" }).pipe(
    Effect.map((results) =>
      Object.entries(results).map(([name, result]) =>
        `${name}: ${result._tag === "Left" ? (result.left as { _tag: string })._tag : "done"}`
      )
    )
  )

const allLost = ["ack", "checkpoint", "checkpointAndHandBack", "retry", "deadLetter"].map((_) => `${_}: LeaseLost`)

describeEngines("JobSourceSql", (databases) => {
  describe("offer", () => {
    it.scopedLive("jobs are claimed in the order in which they were offered", () =>
      Effect.gen(function*() {
        const { one, other, sql } = yield* twoProcesses(databases)
        yield* one.offer([1, 2, 3, 4, 5, 6, 7])
        yield* sql.withTransaction(Effect.zipRight(one.offer([8]), other.offer([9, 10])))
        const claims = [yield* other.claim(3), yield* one.claim(5), yield* other.claim(5)]
        assert.deepStrictEqual(claims.map(payloads), [[1, 2, 3], [4, 5, 6, 7, 8], [9, 10]])
      }))

    it.scopedLive("a payload that PostgreSQL cannot store is refused with the whole batch", () =>
      Effect.gen(function*() {
        const { one } = yield* twoProcesses(databases)
        const error = yield* Effect.flip(one.offer(["fine", "\u0000"]))
        assert.strictEqual(error._tag, "JobSourceError")
        assert.strictEqual(yield* one.size, 0)
      }))

    it.scopedLive("an id that PostgreSQL cannot store is refused, and belongs to no job", () =>
      Effect.gen(function*() {
        const { one } = yield* twoProcesses(databases)
        for (const id of ["nul \u0000", "half \ud83c"]) {
          const error = yield* Effect.flip(one.offer(["fine", "not"], { ids: ["fine", id] }))
          assert.strictEqual(error._tag, "JobSourceError")
          assert.deepStrictEqual(yield* one.find(id), Option.none())
          assert.deepStrictEqual(yield* one.deadLetters.get(id), Option.none())
          assert.strictEqual(yield* one.deadLetters.redrive([id]), 0)
          assert.strictEqual(yield* one.deadLetters.discard([id]), 0)
        }
        assert.strictEqual(yield* one.size, 0)
      }))

    it.scopedLive("every kind of JSON comes back as it was offered", () =>
      Effect.gen(function*() {
        const { one } = yield* twoProcesses(databases)
        const all = [null, 0, "", false, [], {}, { a: { b: ["'; --", 1.5, "\ud83c\udf7a"] } }]
        yield* one.offer(all)
        assert.deepStrictEqual(payloads(yield* one.claim(100)), all)
      }))
  })

  describe("wait", () => {
    it.scopedLive("an offer wakes pools that wait in other processes", () =>
      Effect.gen(function*() {
        const { one, other } = yield* twoProcesses(databases)
        const taken = yield* takeWaiting(other)
        yield* one.offer(["news"])
        assert.strictEqual((yield* Fiber.join(taken)).payload, "news")
      }))

    it.scopedLive("a job offered between the last claim and the wait is not missed", () =>
      Effect.gen(function*() {
        const { one, other } = yield* twoProcesses(databases)
        // Passes the notification that listening has begun.
        yield* Effect.zipRight(other.wait, other.claim(1))
        yield* one.offer(["news"])
        yield* other.wait
        assert.deepStrictEqual(payloads(yield* other.claim(1)), ["news"])
      }))

    it.scopedLive("a job offered while a claim finds nothing is not missed", () =>
      Effect.gen(function*() {
        const [first, second] = yield* databases
        const name = "offered-meanwhile"
        const { offer } = yield* Effect.flatMap(source(first), ({ open }) => open({ name }))
        let meanwhile: Effect.Effect<unknown> = Effect.void
        const sql = afterClaim(second.sql, Effect.suspend(() => meanwhile))
        const { open } = yield* source({ ...second, sql }, { pollInterval: "1 hour" })
        const [queue, neighbour] = [yield* open({ name }), yield* open({ name })]
        yield* neighbour.claim(1)
        // A notification that wakes the neighbour has reached the queue, too.
        meanwhile = Effect.orDie(Effect.zipRight(offer(["news"]), neighbour.wait))
        assert.deepStrictEqual(yield* queue.claim(1), [])
        meanwhile = Effect.void
        yield* queue.wait
        assert.deepStrictEqual(payloads(yield* queue.claim(1)), ["news"])
      }))

    it.scopedLive("a delayed job ends the wait of every process when it is due", () =>
      Effect.gen(function*() {
        const { one, other } = yield* twoProcesses(databases)
        const taken = yield* takeWaiting(other)
        yield* one.offer(["later"], { delay: "300 millis" })
        assert.deepStrictEqual(yield* one.claim(1), [])
        assert.strictEqual((yield* Fiber.join(taken)).payload, "later")
      }))

    it.scopedLive("a retry ends the wait of every process when it is due", () =>
      Effect.gen(function*() {
        const { one, other } = yield* twoProcesses(databases)
        yield* one.offer(["again"])
        const claim = yield* take(one)
        const taken = yield* takeWaiting(other)
        yield* one.retry(claim, at(0.3))
        const again = yield* Fiber.join(taken)
        assert.deepStrictEqual([again.id, again.attempt], [claim.id, 2])
      }))

    it.scopedLive("a hand-back wakes pools that wait in other processes", () =>
      Effect.gen(function*() {
        const { one, other } = yield* twoProcesses(databases)
        yield* one.offer([1, 2])
        const [first, second] = [yield* take(one), yield* take(one)]
        const taken = yield* takeWaiting(other)
        yield* one.handBack([first])
        assert.strictEqual((yield* Fiber.join(taken)).payload, 1)
        const next = yield* takeWaiting(other)
        yield* one.transact(second, Effect.void, handBack("here"))
        assert.strictEqual((yield* Fiber.join(next)).payload, 2)
      }))

    it.scopedLive("a wait after a full claim completes at once", () =>
      Effect.gen(function*() {
        const { one } = yield* twoProcesses(databases)
        yield* one.offer([1, 2, 3])
        const all = yield* Effect.replicateEffect(take(one), 3)
        assert.deepStrictEqual(payloads(all), [1, 2, 3])
      }))
  })

  describe("transact", () => {
    it.scopedLive("a defect of the writes stays a defect, also a SqlError", () =>
      Effect.gen(function*() {
        const { one, sql } = yield* twoProcesses(databases)
        yield* one.offer(["job"])
        const claim = yield* take(one)
        const exit = yield* Effect.exit(one.transact(claim, Effect.orDie(sql`SELECT 1 / 0`), ack))
        assert.isTrue(
          Exit.isFailure(exit) && Option.getOrThrow(Cause.dieOption(exit.cause)) instanceof SqlError.SqlError
        )
        assert.deepStrictEqual(yield* one.renew([claim]), [])
      }))

    it.scopedLive("a transaction that PostgreSQL rolls back instead of committing fails, and acknowledges nothing", () =>
      Effect.gen(function*() {
        const { one, sql, write, written } = yield* twoProcesses(databases)
        yield* one.offer(["job"])
        const claim = yield* take(one)
        const error = yield* Effect.flip(
          one.transact(claim, Effect.zipRight(write("no"), Effect.ignore(sql`SELECT 1 / 0`)), ack)
        )
        assert.strictEqual(error._tag, "JobSourceError")
        assert.deepStrictEqual(yield* one.renew([claim]), [])
        assert.deepStrictEqual(yield* written, [])
      }))

    it.scopedLive("acknowledgements sent together have results of their own, and those in a transaction are rolled back with it", () =>
      Effect.gen(function*() {
        const { one, other, sql } = yield* twoProcesses(databases)
        yield* one.offer([1, 2, 3, 4])
        const stale = yield* take(one)
        yield* one.handBack([stale])
        const [again, ...others] = yield* one.claim(4)
        const acked = yield* Effect.forEach(
          [...others, stale, again!],
          (claim) => Effect.either(one.transact(claim, Effect.void, ack)),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(acked.map((_) => _._tag), ["Right", "Right", "Right", "Left", "Right"])
        yield* one.offer([5])
        const claim = yield* take(one)
        yield* Effect.exit(
          sql.withTransaction(Effect.zipRight(one.transact(claim, Effect.void, ack), Effect.fail("no")))
        )
        assert.deepStrictEqual(yield* other.renew([claim]), [])
        yield* one.transact(claim, Effect.void, ack)
        assert.deepStrictEqual(yield* other.renew([claim]), [claim])
      }))

    it.scopedLive("more jobs than connections settle at the same time", () =>
      Effect.gen(function*() {
        const { one, other, write, written } = yield* twoProcesses(databases)
        yield* one.offer(Array.from({ length: 40 }, (_, n) => n))
        const claims = yield* one.claim(40)
        yield* Effect.forEach(claims, (claim) => one.transact(claim, write("row"), ack), { concurrency: "unbounded" })
        assert.strictEqual((yield* written).length, 40)
        assert.deepStrictEqual(yield* other.claim(1), [])
      }))
  })

  describe("the fence", () => {
    it.scopedLive("a stale holder settles and writes nothing, before and after the next claim", () =>
      Effect.gen(function*() {
        const { one, other, write, written } = yield* twoProcesses(databases)
        yield* one.offer(["job"])
        const stale = yield* take(one)
        assert.deepStrictEqual(yield* one.handBack([stale]), [])
        assert.deepStrictEqual(yield* settleInEveryWay(one, stale, write("stale")), allLost)
        const claim = yield* take(other)
        assert.notStrictEqual(claim.token, stale.token)
        assert.deepStrictEqual(yield* settleInEveryWay(one, stale, write("stale")), allLost)
        assert.deepStrictEqual(yield* one.handBack([stale]), [stale])
        assert.deepStrictEqual(yield* one.renew([stale, claim]), [stale])
        yield* other.transact(claim, write("fresh"), ack)
        assert.deepStrictEqual(yield* written, ["fresh"])
        assert.deepStrictEqual(yield* settleInEveryWay(other, claim, write("late")), allLost)
      }))
  })

  describe("attempts", () => {
    it.scopedLive("a job and a transaction longer than the lease keep it while it is renewed", () =>
      Effect.gen(function*() {
        const { one, other, write, written } = yield* twoProcesses(databases, {
          lease: "1 second",
          expireEvery: "200 millis"
        })
        yield* one.offer(["long", "locked"])
        const claims = yield* one.claim(2)
        const [long, locked] = claims
        yield* Effect.fork(Effect.forever(Effect.delay(one.renew(claims), "250 millis")))
        yield* one.transact(locked!, Effect.delay(write("locked"), "2 seconds"), checkpoint(1))
        yield* Effect.sleep("1500 millis")
        assert.deepStrictEqual(yield* other.claim(2), [])
        yield* one.transact(locked!, Effect.void, ack)
        yield* one.transact(long!, write("long"), ack)
        assert.deepStrictEqual(yield* written, ["locked", "long"])
      }))

    it.scopedLive("a job keeps its lease also when its transaction is rolled back after longer than that", () =>
      Effect.gen(function*() {
        const options = { name: "rolled-back", lease: "1 second", expireEvery: "1 hour" } as const
        const { one, write, written } = yield* twoProcesses(databases, options)
        yield* one.offer(["job"])
        const [claim] = yield* one.claim(1)
        yield* Effect.fork(Effect.forever(Effect.delay(one.renew([claim!]), "250 millis")))
        const fails = Effect.zipRight(Effect.delay(write("nothing"), "2 seconds"), Effect.fail("bad luck"))
        assert.strictEqual(yield* Effect.flip(one.transact(claim!, fails, checkpoint(1))), "bad luck")
        // A process that reaps expired leases.
        const third = yield* source((yield* databases)[1], { ...options, expireEvery: "10 millis" })
        const queue = yield* third.open(options)
        yield* Effect.sleep("200 millis")
        assert.deepStrictEqual(yield* queue.claim(1), [])
        yield* one.transact(claim!, write("ours"), ack)
        assert.deepStrictEqual(yield* written, ["ours"])
      }))
  })

  describe("dead letters", () => {
    it.scopedLive("keep the payload and any text of an error, and are neither claimed nor counted", () =>
      Effect.gen(function*() {
        const { one, other } = yield* twoProcesses(databases)
        const [id] = yield* one.offer([{ n: 1 }])
        const [claim] = yield* one.claim(1)
        yield* one.deadLetter(claim!, "error \u0000 '$1' \u{1f37a}")
        const letters = yield* other.deadLetters.list(9)
        assert.deepStrictEqual(letters.map(({ error, id, payload }) => ({ error, id, payload })), [
          { id, payload: { n: 1 }, error: "error \uFFFD '$1' \u{1f37a}" }
        ])
        assert.strictEqual(yield* other.size, 0)
        assert.deepStrictEqual(yield* other.claim(1), [])
      }))
  })
})
