import type { SqlClient } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Option, Scope } from "effect"
import { afterAll, beforeAll } from "vitest"
import type { CarrierQueue, Service } from "../../../../src/layers/jobs/JobCarrier.js"
import type { Claim, JobQueue } from "../../../../src/layers/jobs/JobSource.js"
import { openDatabase, type Opened } from "../../../kit/database.js"
import { makeMemoryCarrier } from "../../../kit/memoryCarrier.js"
import { databaseFolder } from "../../../kit/pglite.js"
import { eventually } from "../../../kit/until.js"
import { ack, take, takeWaiting } from "../JobSourceWorld.js"
import { carried, holds, newTable } from "./JobSourceCarriedWorld.js"
import { source } from "./JobSourceSqlWorld.js"

// One database for all tests, with a table for each.
const scope = Effect.runSync(Scope.make())
let opened: Opened
let sql: SqlClient.SqlClient
beforeAll(async () => {
  opened = await Effect.runPromise(Scope.extend(openDatabase(`pglite:${await databaseFolder()}`), scope))
  sql = opened.sql
  await Effect.runPromise(sql`CREATE TABLE written (test text, line text)`)
}, 60_000)
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

/** Neither a lease nor a delivery runs out, and nothing is offered again, unless the test is about that. */
const makeWorld = (
  options: { readonly offerAgainAfter?: Duration.DurationInput; readonly pollInterval?: Duration.DurationInput } = {},
  redeliverAfter: Duration.DurationInput = "1 hour"
) =>
  Effect.gen(function*() {
    const table = newTable()
    const carrier = makeMemoryCarrier(redeliverAfter)
    const sourceOver = (carrier: Service) =>
      carried(opened, carrier, {
        table,
        pollInterval: "50 millis",
        lease: "1 hour",
        offerAgainAfter: "1 hour",
        ...options
      })
    const openOver = (carrier: Service) => Effect.flatMap(sourceOver(carrier), ({ open }) => open({ name: "jobs" }))
    const open = openOver(carrier)
    return {
      table,
      carrier,
      sourceOver,
      openOver,
      open,
      one: yield* open,
      write: (line: string) => sql`INSERT INTO written VALUES (${table}, ${line})`,
      written: Effect.map(
        sql<{ line: string }>`SELECT line FROM written WHERE test = ${table} ORDER BY line`,
        (rows) => rows.map(({ line }) => line)
      ),
      rows: Effect.map(
        sql<{ id: string; state: string; attempt: number }>`SELECT id, state, attempt FROM ${
          sql(table)
        } ORDER BY number`,
        (rows) => rows.map(({ attempt, id, state }) => `${id}: ${state} ${attempt}`)
      )
    }
  })

const payloads = (claims: ReadonlyArray<Claim>) => claims.map(({ payload }) => payload)
const takeMany = (queue: JobQueue, count: number) => Effect.replicateEffect(take(queue), count)

describe("JobSourceSql with a carrier", () => {
  describe("offers to the carrier", () => {
    it.scopedLive("jobs are delivered in the order of their offers, whichever process offers them to the carrier", () =>
      Effect.gen(function*() {
        const { one, open } = yield* makeWorld()
        const other = yield* open
        yield* one.offer([1, 2, 3])
        yield* sql.withTransaction(Effect.zipRight(other.offer([4]), one.offer([5, 6])))
        assert.deepStrictEqual(payloads(yield* takeMany(other, 6)), [1, 2, 3, 4, 5, 6])
      }))

    it.scopedLive("a carrier is opened where what it forks can be interrupted", () =>
      Effect.gen(function*() {
        const { carrier, openOver } = yield* makeWorld()
        const interruptible: Array<boolean> = []
        yield* openOver({
          ...carrier,
          open: (options) =>
            Effect.checkInterruptible((is) => {
              interruptible.push(is)
              return carrier.open(options)
            })
        })
        assert.deepStrictEqual(interruptible, [true, true, true])
      }))

    it.scopedLive("the carrier holds an id until its row is claimed, and nothing of a job that runs", () =>
      Effect.gen(function*() {
        const { carrier, one } = yield* makeWorld()
        yield* one.offer(["a", "b"], { ids: ["a", "b"] })
        yield* one.offer(["later"], { ids: ["later"], delay: "1 hour" })
        yield* holds(carrier, ["a", "b"])
        const claim = yield* take(one)
        assert.deepStrictEqual(carrier.held("jobs"), ["b"])
        yield* one.retry(claim, { delay: Duration.minutes(1), error: "no" })
        yield* take(one)
        assert.deepStrictEqual([carrier.held("jobs"), yield* one.size], [[], 2])
      }))

    it.scopedLive("offers succeed while the carrier is away, and reach it when it is back", () =>
      Effect.gen(function*() {
        const { carrier, one } = yield* makeWorld()
        yield* carrier.fail("offer")
        yield* one.offer(["a", "b"])
        yield* one.offer(["c"])
        yield* eventually("the carrier is offered the jobs", Effect.sync(() => carrier.called.includes("offer")))
        assert.deepStrictEqual([yield* one.claim(9), yield* one.size], [[], 3])
        yield* carrier.fail()
        assert.deepStrictEqual(payloads(yield* takeMany(one, 3)), ["a", "b", "c"])
      }))

    it.scopedLive("a row that a dead process has taken and not offered is offered by another process", () =>
      Effect.gen(function*() {
        const { one, open, table } = yield* makeWorld()
        yield* sql`INSERT INTO ${sql(table)} (queue, id, payload, due_at, offer_at)
          VALUES ('jobs', 'left', '"left"', clock_timestamp(), clock_timestamp() + interval '300 milliseconds')`
        yield* one.offer(["new"])
        assert.deepStrictEqual(payloads(yield* takeMany(yield* open, 2)).sort(), ["left", "new"])
      }))

    it.scopedLive("rows offered before the release are offered to the carrier before that is released", () =>
      Effect.gen(function*() {
        const { carrier, sourceOver } = yield* makeWorld()
        const life = yield* Scope.make()
        const queue = yield* Scope.extend(
          Effect.flatMap(sourceOver(carrier), ({ open }) => open({ name: "last" })),
          life
        )
        yield* carrier.fail("offer")
        yield* queue.offer(["last"], { ids: ["last"] })
        yield* carrier.fail()
        yield* Scope.close(life, Exit.void)
        assert.deepStrictEqual(carrier.held("last"), ["last"])
      }))
  })

  describe("a hand-back", () => {
    it.scopedLive("wakes another process, and is claimed before the jobs that wait", () =>
      Effect.gen(function*() {
        const { carrier, one, open } = yield* makeWorld({ pollInterval: "1 hour" })
        const other = yield* open
        yield* one.offer(["first", "second"])
        const [first, second] = yield* takeMany(one, 2)
        const taken = yield* takeWaiting(other)
        yield* one.handBack([first!])
        assert.deepStrictEqual(yield* Fiber.join(taken), { ...first!, token: (yield* Fiber.join(taken)).token })
        const ids = Array.from({ length: 500 }, (_, n) => `waiting ${n}`)
        yield* one.offer(ids, { ids })
        yield* holds(carrier, ids)
        yield* one.transact(second!, Effect.void, { _tag: "Checkpoint", cursor: 7, handBack: true })
        yield* holds(carrier, [...ids, second!.id])
        assert.deepInclude(yield* take(other), { id: second!.id, attempt: 1, cursor: Option.some(7) })
      }))

    it.scopedLive("that the carrier ignores, because it still holds a delivery, is offered again at once", () =>
      Effect.gen(function*() {
        const { carrier, one, openOver } = yield* makeWorld({ pollInterval: "1 hour" })
        yield* one.offer(["job"], { ids: ["job"] })
        const claim = yield* take(one)
        // Two offers have crossed: the carrier holds the id of a job that runs.
        const stale = yield* Effect.scoped(carrier.open({ name: "jobs" }))
        yield* stale.offer(["job"])
        let offers = 0
        const other = yield* openOver({
          ...carrier,
          open: (options) =>
            Effect.map(carrier.open(options), (queue): CarrierQueue => ({
              ...queue,
              ack: (deliveries) =>
                Effect.gen(function*() {
                  offers = carrier.offers.length
                  yield* Effect.orDie(one.handBack([claim]))
                  yield* eventually("the offer is ignored", Effect.sync(() => carrier.offers.length > offers))
                  yield* queue.ack(deliveries)
                })
            }))
        })
        assert.deepStrictEqual(yield* other.claim(9), [])
        assert.deepInclude(yield* take(one), { id: "job", attempt: 1 })
      }))
  })

  describe("a carrier that delivers an id never or twice", () => {
    it.scopedLive("jobs whose ids it has lost are offered again, and written once", () =>
      Effect.gen(function*() {
        const { carrier, one, write, written } = yield* makeWorld({ offerAgainAfter: "200 millis" })
        yield* one.offer(["held", "waiting"], { ids: ["held", "waiting"] })
        const held = yield* take(one)
        yield* carrier.loseData
        const waiting = yield* take(one)
        for (const claim of [held, waiting]) yield* one.transact(claim, write(claim.id), ack)
        assert.deepStrictEqual([yield* written, yield* one.size], [["held", "waiting"], 0])
      }))

    it.scopedLive("all jobs are offered again within seconds to a carrier that has lost its data", () =>
      Effect.gen(function*() {
        const { carrier, one } = yield* makeWorld()
        const ids = ["a", "b", "c"]
        yield* one.offer(ids, { ids })
        yield* one.offer(["delayed"], { delay: "10 minutes" })
        yield* holds(carrier, ids)
        for (let losses = 0; losses < 2; losses++) {
          yield* eventually("the sentinel is there", Effect.sync(() => carrier.called.at(-1) === "holds"))
          yield* carrier.loseData
          yield* holds(carrier, ids)
        }
        assert.deepStrictEqual(payloads(yield* takeMany(one, 3)), ids)
      }))

    it.scopedLive("a delivery that comes again while its job runs, is dead or is done is dropped", () =>
      Effect.gen(function*() {
        const { carrier, one, rows, write, written } = yield* makeWorld({}, "100 millis")
        yield* carrier.fail("ack")
        yield* one.offer(["runs", "dead", "done"], { ids: ["runs", "dead", "done"], keepIdFor: 0 })
        const [runs, dead, done] = yield* takeMany(one, 3)
        yield* one.deadLetter(dead!, "no")
        yield* one.transact(done!, write("done"), ack)
        yield* carrier.fail()
        while (carrier.held("jobs").length > 0) {
          assert.deepStrictEqual(yield* one.claim(9), [])
          yield* Effect.sleep("10 millis")
        }
        assert.deepStrictEqual(yield* rows, ["runs: running 1", "dead: dead 1"])
        yield* one.transact(runs!, write("runs"), ack)
        assert.deepStrictEqual(yield* written, ["done", "runs"])
      }))

    it.scopedLive("a job that is delivered while the database is away is delivered again, in the same attempt", () =>
      Effect.gen(function*() {
        const { carrier, one, table } = yield* makeWorld({}, "100 millis")
        yield* one.offer(["job"], { ids: ["job"] })
        yield* holds(carrier, ["job"])
        yield* sql`ALTER TABLE ${sql(table)} RENAME TO gone`
        assert.strictEqual((yield* Effect.flip(one.claim(1)))._tag, "JobSourceError")
        yield* sql`ALTER TABLE gone RENAME TO ${sql(table)}`
        assert.strictEqual((yield* take(one)).attempt, 1)
      }))
  })

  it.scopedLive("a claim that gets an orphan has its limit, and the job that it leaves is claimed next", () =>
    Effect.gen(function*() {
      const { carrier, one, table } = yield* makeWorld()
      yield* one.offer(["a", "b"], { ids: ["a", "b"] })
      yield* holds(carrier, ["a", "b"])
      yield* sql`INSERT INTO ${sql(table)} (queue, id, payload, due_at, attempt, deaths)
        VALUES ('jobs', 'orphan', '"orphan"', clock_timestamp(), 2, 1)`
      const claims = yield* one.claim(2)
      assert.deepStrictEqual(claims.map(({ id, orphan }) => [id, orphan]), [["a", false], ["orphan", true]])
      assert.deepStrictEqual(payloads(yield* takeMany(one, 1)), ["b"])
    }))

  it.scopedLive("a job that another program has added to the carrier gets a row, and runs like any other", () =>
    Effect.gen(function*() {
      const { carrier, one, rows, write, written } = yield* makeWorld()
      yield* carrier.add("jobs", "stray", { n: 1, text: "nul \u0000 half \ud83c whole \ud83c\udf7a \\u0000" })
      yield* carrier.add("jobs", "nul \u0000", "its id cannot be stored")
      const claim = yield* take(one)
      const payload = { n: 1, text: "nul \uFFFD half \uFFFD whole \ud83c\udf7a \\u0000" }
      assert.deepInclude(claim, { id: "stray", payload, attempt: 1 })
      yield* one.handBack([claim])
      const again = yield* take(one)
      assert.deepInclude(again, { id: "stray", payload, attempt: 1 })
      yield* one.transact(again, write("once"), ack)
      // The carrier has missed the acknowledgement.
      yield* carrier.add("jobs", "stray", { n: 1 })
      yield* carrier.add("jobs", "next", { n: 2 })
      yield* one.transact(yield* take(one), write("next"), ack)
      assert.deepStrictEqual([yield* written, carrier.held("jobs")], [["next", "once"], []])
      assert.deepStrictEqual(yield* rows, ["stray: done 1", "next: done 1"])
    }))

  it.scopedLive("a job of another program whose payload cannot be stored is a dead letter, and costs the others nothing", () =>
    Effect.gen(function*() {
      const { carrier, one } = yield* makeWorld()
      const depth = 1_000_000
      yield* carrier.add("jobs", "good", 1)
      yield* carrier.add("jobs", "deep", JSON.parse("[".repeat(depth) + "]".repeat(depth)))
      yield* carrier.add("jobs", "good as well", 2)
      assert.deepStrictEqual((yield* one.claim(9)).map(({ id }) => id), ["good", "good as well"])
      assert.deepStrictEqual(carrier.held("jobs"), [])
      const dead = yield* one.deadLetters.list(9)
      assert.deepStrictEqual(dead.map(({ attempt, error, id, payload }) => [id, attempt, payload, error]), [
        ["deep", 1, null, "the payload cannot be stored: Maximum call stack size exceeded"]
      ])
    }))

  it.scopedLive("sources with and without a carrier share a table, and hand jobs back to each other", () =>
    Effect.gen(function*() {
      const { one, table } = yield* makeWorld()
      const { open } = yield* source(opened, { table, pollInterval: "1 hour", lease: "1 hour" })
      const without = yield* open({ name: "jobs" })
      yield* without.offer(["a"])
      const a = yield* take(one)
      const taken = yield* takeWaiting(without)
      yield* one.handBack([a])
      const again = yield* Fiber.join(taken)
      yield* without.handBack([again])
      assert.deepInclude(yield* take(one), { id: a.id, attempt: 1 })
    }))
})
