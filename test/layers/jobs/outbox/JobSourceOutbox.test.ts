import type { SqlClient } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Option, Scope } from "effect"
import { afterAll, beforeAll } from "vitest"
import { execute } from "../../../../src/layers/database/contract.js"
import { type Claim, type JobQueue, JobSourceError, type Service } from "../../../../src/layers/jobs/JobSource.js"
import * as JobSourceMemory from "../../../../src/layers/jobs/JobSourceMemory.js"
import { outboxTable } from "../../../../src/layers/jobs/outbox/internal/statements.js"
import { openDatabase, type Opened } from "../../../kit/database.js"
import { describePostgres } from "../../../kit/postgres.js"
import { eventually } from "../../../kit/until.js"
import { take } from "../JobSourceWorld.js"
import { newTable, outbox } from "./JobSourceOutboxWorld.js"

const ack = { _tag: "Ack" } as const
const at = (cursor: unknown, handBack = false) => ({ _tag: "Checkpoint", cursor, handBack }) as const

// One database for all tests, with a table for each. The engine is in memory, so that its failures can be simulated.
const scope = Effect.runSync(Scope.make())
let opened: Opened
let sql: SqlClient.SqlClient
beforeAll(async () => {
  opened = await Effect.runPromise(Scope.extend(openDatabase("pglite:memory"), scope))
  sql = opened.sql
  await Effect.runPromise(sql`CREATE TABLE written (test text, line text)`)
}, 60_000)
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

type Operation = "offer" | "transact" | "retry" | "handBack"

/** An engine some or all of whose operations can be made to fail, and whose data can be lost. */
const makeEngine = Effect.gen(function*() {
  const options = { durable: true, lease: "1 hour" } as const
  let memory = yield* JobSourceMemory.make(options)
  let failing: ReadonlyArray<Operation> = []
  const called: Array<Operation> = []
  const away = (operation: Operation) =>
    Effect.suspend(() => {
      called.push(operation)
      return failing.includes(operation)
        ? Effect.fail(new JobSourceError({ operation, queue: "jobs", cause: new Error("away") }))
        : Effect.void
    })
  const service: Service = {
    durable: true,
    renewEvery: Duration.minutes(1),
    orphanTurn: memory.orphanTurn,
    open: (options) =>
      Effect.gen(function*() {
        const now = Effect.suspend(() => memory.open(options))
        const queue: JobQueue = {
          ...yield* now,
          offer: (...args) =>
            Effect.zipRight(away("offer"), Effect.scoped(Effect.flatMap(now, (queue) => queue.offer(...args)))),
          wait: Effect.scoped(Effect.flatMap(now, (queue) => queue.wait)),
          claim: (...args) => Effect.scoped(Effect.flatMap(now, (queue) => queue.claim(...args))),
          renew: (claims) => Effect.scoped(Effect.flatMap(now, (queue) => queue.renew(claims))),
          find: (id) => Effect.scoped(Effect.flatMap(now, (queue) => queue.find(id))),
          transact: (...args) =>
            Effect.zipRight(away("transact"), Effect.scoped(Effect.flatMap(now, (queue) => queue.transact(...args)))),
          retry: (...args) =>
            Effect.zipRight(away("retry"), Effect.scoped(Effect.flatMap(now, (queue) => queue.retry(...args)))),
          handBack: (claims) =>
            Effect.zipRight(away("handBack"), Effect.scoped(Effect.flatMap(now, (queue) => queue.handBack(claims))))
        }
        return queue
      })
  }
  return {
    service,
    called,
    fail: (...operations: ReadonlyArray<Operation>) => Effect.sync(() => (failing = operations)),
    loseData: Effect.flatMap(JobSourceMemory.make(options), (fresh) => Effect.sync(() => void (memory = fresh))),
    /** Expires the leases, as when their process is dead or cut off. */
    expireLeases: (claims: ReadonlyArray<Claim>) =>
      Effect.scoped(
        Effect.flatMap(memory.open({ name: "jobs" }), (queue) =>
          Effect.forEach(claims, (claim) =>
            Effect.ignore(queue.retry({ ...claim, token: claim.token.split(" ")[1]! }, {
              delay: Duration.zero,
              error: "the lease ran out"
            }))))
      )
  }
})

const makeWorld = (options: { readonly offerAgainAfter?: Duration.DurationInput } = {}) =>
  Effect.gen(function*() {
    const table = newTable()
    const engine = yield* makeEngine
    const open = Effect.gen(function*() {
      const source = yield* outbox(opened, engine.service, {
        table,
        pollInterval: "50 millis",
        offerAgainAfter: "1 hour",
        ...options
      })
      return yield* source.open({ name: "jobs" })
    })
    return {
      table,
      engine,
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

/** Claims until no job has arrived for a while. */
const takeAll = (queue: JobQueue) =>
  Effect.gen(function*() {
    const all: Array<Claim> = []
    for (let quiet = 0; quiet < 4; quiet++) {
      const claims = yield* queue.claim(100)
      if (claims.length > 0) quiet = 0
      all.push(...claims)
      yield* Effect.sleep("50 millis")
    }
    return all
  })

const refused = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => (error as { _tag?: string })._tag)

describe("JobSourceOutbox", () => {
  describe("between a commit and the engine", () => {
    it.scopedLive("jobs are delivered in the order of their offers, whichever process moves them", () =>
      Effect.gen(function*() {
        const { one, open } = yield* makeWorld()
        const other = yield* open
        yield* one.offer([1, 2, 3])
        yield* sql.withTransaction(Effect.zipRight(other.offer([4]), one.offer([5, 6])))
        const all: Array<unknown> = []
        while (all.length < 6) all.push((yield* take(other)).payload)
        assert.deepStrictEqual(all, [1, 2, 3, 4, 5, 6])
      }))

    it.scopedLive("offers succeed while the engine is away, and reach it when it is back", () =>
      Effect.gen(function*() {
        const { engine, one } = yield* makeWorld()
        yield* engine.fail("offer")
        yield* one.offer(["a", "b"])
        yield* one.offer(["c"])
        yield* eventually("the engine is offered the jobs", Effect.sync(() => engine.called.includes("offer")))
        assert.deepStrictEqual(yield* takeAll(one), [])
        assert.strictEqual(yield* one.size, 3)
        yield* engine.fail()
        const all = [yield* take(one), yield* take(one), yield* take(one)]
        assert.deepStrictEqual(payloads(all), ["a", "b", "c"])
      }))

    it.scopedLive("a row that a dead process has taken and not moved is moved by another process", () =>
      Effect.gen(function*() {
        const { one, open, table } = yield* makeWorld({ offerAgainAfter: "300 millis" })
        yield* sql`INSERT INTO ${sql(table)} (queue, id, payload, offer_at)
          VALUES ('jobs', 'left', '"left"', clock_timestamp() + interval '300 milliseconds')`
        yield* one.offer(["new"])
        const other = yield* open
        assert.deepStrictEqual(payloads([yield* take(other), yield* take(other)]), ["new", "left"])
      }))

    it.scopedLive("jobs that the engine has lost are offered again, and written once", () =>
      Effect.gen(function*() {
        const { engine, one, write, written } = yield* makeWorld({ offerAgainAfter: "200 millis" })
        yield* one.offer(["held", "waiting"], { ids: ["held", "waiting"] })
        const held = yield* take(one)
        yield* engine.loseData
        const claims = [yield* take(one), yield* take(one)]
        assert.deepStrictEqual(claims.map(({ attempt, id }) => `${id} ${attempt}`).sort(), ["held 2", "waiting 1"])
        assert.strictEqual(yield* refused(one.transact(held, write("stale"), ack)), "LeaseLost")
        for (const claim of claims) yield* one.transact(claim, write(claim.id), ack)
        assert.deepStrictEqual(yield* takeAll(one), [])
        assert.deepStrictEqual(yield* written, ["held", "waiting"])
      }))

    it.scopedLive("jobs that the engine has lost long after their offers are offered again within seconds", () =>
      Effect.gen(function*() {
        const { engine, one } = yield* makeWorld({ offerAgainAfter: "1 hour" })
        yield* one.offer(["held", "waiting"], { ids: ["held", "waiting"] })
        yield* one.offer(["delayed"], { delay: "10 minutes" })
        const first = [yield* take(one), yield* take(one)]
        yield* one.handBack(first)
        yield* take(one)
        for (let losses = 0; losses < 2; losses++) {
          // The sentinel is there again.
          yield* Effect.sleep("300 millis")
          yield* engine.loseData
          const claims = [yield* take(one), yield* take(one)]
          assert.deepStrictEqual(claims.map(({ id }) => id).sort(), ["held", "waiting"])
        }
        assert.deepStrictEqual(yield* takeAll(one), [])
        assert.strictEqual(yield* one.size, 1)
      }))

    it.scopedLive("a job whose lease the engine has lost is offered again at once", () =>
      Effect.gen(function*() {
        const { engine, one } = yield* makeWorld()
        yield* one.offer(["held"])
        const held = yield* take(one)
        yield* engine.loseData
        assert.deepStrictEqual(yield* one.renew([held]), [held])
        assert.deepInclude(yield* take(one), { id: held.id, attempt: 2 })
      }))

    it.scopedLive("rows offered before the release are moved before the engine is released", () =>
      Effect.gen(function*() {
        const engine = yield* makeEngine
        const life = yield* Scope.make()
        const table = newTable()
        const { open } = yield* Scope.extend(outbox(opened, engine.service, { table }), life)
        const queue = yield* Scope.extend(open({ name: "jobs" }), life)
        yield* engine.fail("offer")
        yield* queue.offer(["last"], { ids: ["last"] })
        yield* engine.fail()
        yield* Scope.close(life, Exit.void)
        const left = yield* engine.service.open({ name: "jobs" })
        assert.isTrue(Option.isSome(yield* left.find("last")))
      }))
  })

  describe("a process that dies, or an engine that is away,", () => {
    it.scopedLive("between the commit and the acknowledgement: the job is redelivered, and does not run", () =>
      Effect.gen(function*() {
        const { engine, one, rows, write, written } = yield* makeWorld()
        yield* one.offer(["job"])
        const claim = yield* take(one)
        yield* engine.fail("transact")
        assert.deepStrictEqual(yield* one.transact(claim, Effect.as(write("once"), 42), ack), 42)
        yield* engine.fail()
        yield* engine.expireLeases([claim])
        assert.deepStrictEqual(yield* takeAll(one), [])
        assert.deepStrictEqual(yield* written, ["once"])
        assert.deepStrictEqual(yield* rows, [])
        assert.deepStrictEqual(yield* one.find(claim.id), Option.none())
      }))

    it.scopedLive("between the commit of a checkpoint and its hand-back: the job continues from its cursor in the same attempt", () =>
      Effect.gen(function*() {
        const { engine, one, write } = yield* makeWorld()
        yield* one.offer(["job"])
        const claim = yield* take(one)
        yield* engine.fail("handBack")
        yield* one.transact(claim, write("first half"), at({ row: 1 }, true))
        yield* engine.fail()
        yield* engine.expireLeases([claim])
        const next = yield* take(one)
        assert.deepStrictEqual([next.attempt, next.cursor], [1, Option.some({ row: 1 })])
      }))

    it.scopedLive("between the commit of a dead letter and the acknowledgement: the job does not run", () =>
      Effect.gen(function*() {
        const { engine, one, rows } = yield* makeWorld()
        yield* one.offer(["job"], { ids: ["job"] })
        const claim = yield* take(one)
        yield* engine.fail("transact")
        yield* one.deadLetter(claim, "no")
        yield* engine.fail()
        yield* engine.expireLeases([claim])
        assert.deepStrictEqual(yield* takeAll(one), [])
        assert.deepStrictEqual(yield* rows, ["job: Dead 1"])
        assert.strictEqual(yield* one.deadLetters.redrive(["job"], { fromStart: true }), 1)
        assert.strictEqual((yield* take(one)).attempt, 1)
      }))

    it.scopedLive("during a run: the attempt is spent, and the checkpoint is kept", () =>
      Effect.gen(function*() {
        const { engine, one, write, written } = yield* makeWorld()
        yield* one.offer(["job"])
        const dead = yield* take(one)
        yield* one.transact(dead, write("first half"), at(1))
        yield* engine.expireLeases([dead])
        const next = yield* take(one)
        assert.deepStrictEqual([next.attempt, next.cursor], [2, Option.some(1)])
        assert.strictEqual(yield* refused(one.transact(dead, write("late"), at(2))), "LeaseLost")
        assert.deepStrictEqual(yield* one.handBack([dead]), [dead])
        yield* one.transact(next, write("second half"), ack)
        assert.deepStrictEqual(yield* written, ["first half", "second half"])
      }))

    it.scopedLive("a retry and a hand-back can be repeated until the engine is updated", () =>
      Effect.gen(function*() {
        const { engine, one } = yield* makeWorld()
        yield* one.offer(["a", "b"])
        const [a, b] = [yield* take(one), yield* take(one)]
        yield* engine.fail("retry", "handBack")
        const retry = one.retry(a, { delay: Duration.zero, error: "no" })
        assert.strictEqual(yield* refused(retry), "JobSourceError")
        assert.strictEqual(yield* refused(one.handBack([b])), "JobSourceError")
        yield* engine.fail()
        yield* retry
        assert.deepStrictEqual(yield* one.handBack([b]), [])
        const again = [yield* take(one), yield* take(one)]
        assert.deepStrictEqual(again.map(({ attempt, payload }) => `${payload as string} ${attempt}`).sort(), [
          "a 2",
          "b 1"
        ])
      }))
  })

  it.scopedLive("a table of the first form is migrated, and its claims are numbered above those that were made", () =>
    Effect.gen(function*() {
      const table = newTable()
      yield* execute(sql, outboxTable(table).migrations[0]!)
      yield* sql`INSERT INTO ${sql(table)} (queue, id, payload, state, claim, attempt, offer_at)
        VALUES ('jobs', 'old', '"old"', 'HandedBack', 7, 2, clock_timestamp())`
      const engine = yield* makeEngine
      const { open } = yield* outbox(opened, engine.service, { table })
      const claim = yield* take(yield* open({ name: "jobs" }))
      assert.deepInclude(claim, { id: "old", payload: "old", attempt: 2 })
      assert.isAbove(Number(claim.token.split(" ")[0]), 7)
    }))

  it.scopedLive("the writes of a holder are refused after its hand-back, also before the next claim", () =>
    Effect.gen(function*() {
      const { one, write, written } = yield* makeWorld()
      yield* one.offer(["job"])
      const claim = yield* take(one)
      assert.deepStrictEqual(yield* one.handBack([claim]), [])
      assert.deepStrictEqual(
        yield* Effect.forEach([ack, at(1), at(1, true)], (how) => refused(one.transact(claim, write("late"), how))),
        ["LeaseLost", "LeaseLost", "LeaseLost"]
      )
      assert.deepStrictEqual(yield* written, [])
      assert.strictEqual((yield* take(one)).attempt, 1)
    }))

  it.scopedLive("jobs that were added to the engine directly run, too", () =>
    Effect.gen(function*() {
      const { engine, one, rows, write, written } = yield* makeWorld()
      const past = yield* engine.service.open({ name: "jobs" })
      yield* past.offer([{ n: 1 }], { ids: ["stray"] })
      const claim = yield* take(one)
      assert.deepInclude(claim, { id: "stray", payload: { n: 1 }, attempt: 1 })
      yield* one.handBack([claim])
      const again = yield* take(one)
      assert.deepInclude(again, { id: "stray", payload: { n: 1 }, attempt: 1 })
      yield* one.transact(again, write("once"), ack)
      assert.deepStrictEqual(yield* takeAll(one), [])
      assert.deepStrictEqual([yield* written, yield* rows], [["once"], []])
    }))

  it.scopedLive("a job that is delivered while the database is away is handed back", () =>
    Effect.gen(function*() {
      const { engine, one, table } = yield* makeWorld()
      yield* one.offer(["job"])
      yield* one.wait
      yield* sql`ALTER TABLE ${sql(table)} RENAME TO gone`
      const fiber = yield* Effect.fork(
        Effect.repeat(Effect.flip(one.claim(1)), { until: () => engine.called.includes("handBack") })
      )
      yield* Fiber.join(fiber)
      yield* sql`ALTER TABLE gone RENAME TO ${sql(table)}`
      assert.strictEqual((yield* take(one)).attempt, 1)
    }))
})

describePostgres("JobSourceOutbox in two processes", (postgres) => {
  it.scopedLive("jobs offered together reach the engine together and in order", () =>
    Effect.gen(function*() {
      const memory = yield* JobSourceMemory.make({ durable: true, lease: "1 hour" })
      const calls: Array<string> = []
      const engine: Service = {
        ...memory,
        open: (options) =>
          Effect.map(memory.open(options), (queue) => ({
            ...queue,
            offer: (payloads, options) => {
              calls.push((options?.ids ?? []).join(" "))
              return queue.offer(payloads, options)
            }
          }))
      }
      const table = newTable()
      const [one] = yield* Effect.forEach([1, 2], () =>
        Effect.flatMap(
          Effect.flatMap(openDatabase(postgres.url), (opened) => outbox(opened, engine, { table })),
          (source) => source.open({ name: "jobs" })
        ))
      const batches = Array.from({ length: 100 }, (_, n) => [`${n}-a`, `${n}-b`, `${n}-c`])
      yield* Effect.forEach(batches, (ids) => one!.offer(ids, { ids }))
      const { size } = yield* memory.open({ name: "jobs" })
      yield* eventually("the engine has all jobs", size, (size) => size === 300)
      assert.deepStrictEqual(batches.filter((ids) => !calls.some((call) => call.includes(ids.join(" ")))), [])
    }))
})
