import type { SqlClient } from "@effect/sql"
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Logger, LogLevel, Schedule, Scope } from "effect"
import { type JobQueue, JobSource } from "../../../../src/layers/jobs/JobSource.js"
import { statementsOf } from "../../../../src/layers/jobs/sql/internal/statements.js"
import * as WorkerPool from "../../../../src/layers/jobs/WorkerPool.js"
import { Choices, seed } from "../../../kit/random.js"
import { eventually } from "../../../kit/until.js"
import { ack, take } from "../JobSourceWorld.js"
import { type KeyedJob, makeKeyJournal } from "../keysWorld.js"
import { describeServer, end, idsOf, makeOpenTransaction, source, twoProcesses } from "./JobSourceSqlWorld.js"

class Pool extends WorkerPool.Tag("keyed-pool")<Pool, KeyedJob>() {}

const offer = (queue: JobQueue, ...ids: ReadonlyArray<string>) => queue.offer(ids, { ids, keys: ids.map(() => "key") })

/** The plan of the statement that takes turns, which is run with it. */
const explainAdvance = (sql: SqlClient.SqlClient, table: string, queue: string, limit: number) =>
  Effect.gen(function*() {
    const [lock, advance] = statementsOf(table).advance(queue, { limit, room: 1 }).split(";\n")
    const rows = yield* sql.withTransaction(Effect.zipRight(
      sql.unsafe(lock!).raw,
      sql.unsafe<Record<string, string>>(`EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) ${advance}`)
    ))
    return rows.map((row) => row["QUERY PLAN"]!).join("\n")
  })

/** The most rows that one step of a plan has read. */
const mostRead = (plan: string) =>
  Math.max(...[...plan.matchAll(/Scan.*rows=(\d+)|Removed by Filter: (\d+)/g)].map((_) => Number(_[1] ?? _[2])))

describeServer("Keys of JobSourceSql", (databases) => {
  const openTransaction = makeOpenTransaction(databases)

  it.scopedLive(
    "two pools, one of which is replaced, run the jobs of each key one at a time and in order",
    () =>
      Effect.gen(function*() {
        const choices = new Choices(seed)
        const journal = makeKeyJournal()
        const { one } = yield* twoProcesses(databases, { name: "keyed-pool" })
        const failing = new Set<string>()
        const layer = Pool.layer({
          concurrency: 4,
          drainTimeout: "20 millis",
          retry: Schedule.spaced("20 millis").pipe(Schedule.intersect(Schedule.recurs(3))),
          process: (job, { id }) =>
            journal.recorded(
              job,
              Effect.delay(
                Effect.suspend(() => failing.delete(id) ? Effect.fail("bad luck") : Effect.void),
                Duration.millis(choices.int(0, 20))
              )
            )
        })
        const start = (n: 0 | 1) =>
          Effect.gen(function*() {
            const scope = yield* Scope.make()
            const opened = (yield* databases)[n]
            yield* Layer.build(layer).pipe(
              Scope.extend(scope),
              Effect.provideService(JobSource, yield* Scope.extend(source(opened, { pollInterval: "1 hour" }), scope))
            )
            return Scope.close(scope, Exit.void)
          })
        const [stopFirst, stopSecond] = [yield* start(0), yield* start(1)]
        // Each key is offered by one fiber: so its jobs have an order.
        const jobs = 30
        const offering = yield* Effect.fork(Effect.forEach(["a", "b", "c", "d", "e"], (key) =>
          Effect.forEach(
            Array.from({ length: jobs }, (_, n) => n),
            (n) => {
              const id = `${key}${n}`
              if (choices.chance(0.2)) {
                failing.add(id)
              }
              return one.offer([{ key, n }], { ids: [id], keys: [key], priority: choices.int(0, 9) })
            }
          ), { concurrency: "unbounded" }))
        yield* eventually(
          "some jobs have run",
          Effect.sync(() => journal.entries.length),
          (length) => length > 60
        )
        yield* stopFirst
        const stopThird = yield* start(0)
        yield* Fiber.join(offering)
        yield* eventually(
          "the queue is empty",
          one.depth,
          ({ jobs }) => jobs.Waiting.count + jobs.Delayed.count + jobs.Blocked.count + jobs.Running.count === 0
        )
        yield* Effect.all([stopSecond, stopThird])
        assert.strictEqual(journal.assertSound(), 5 * jobs)
        assert.strictEqual((yield* one.depth).jobs.Dead.count, 0)
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None)),
    120_000
  )

  it.scopedLive(
    "claims at the same time never have two jobs of a key, nor change their order",
    () =>
      Effect.gen(function*() {
        const journal = makeKeyJournal()
        const { one, other } = yield* twoProcesses(databases)
        const keys = ["a", "b", "c"]
        const jobs = keys.flatMap((key) => Array.from({ length: 25 }, (_, n): KeyedJob => ({ key, n })))
        yield* one.offer(jobs, { keys: jobs.map(({ key }) => key) })
        let left = jobs.length
        const claimer = (queue: JobQueue) =>
          Effect.iterate(0, {
            while: () => left > 0,
            body: () =>
              Effect.flatMap(take(queue), (claim) =>
                journal.recorded(
                  claim.payload as KeyedJob,
                  Effect.sync(() => void left--)
                ).pipe(
                  Effect.zipRight(queue.transact(claim, Effect.void, ack)),
                  Effect.as(0)
                ))
          })
        const claimers = yield* Effect.forEach(
          [one, other, one, other, one, other],
          (queue) => Effect.fork(claimer(queue))
        )
        yield* eventually("all jobs have run", Effect.sync(() => left), (left) => left === 0)
        yield* Fiber.interruptAll(claimers)
        assert.strictEqual(journal.assertSound(), jobs.length)
      }),
    60_000
  )

  it.scopedLive("a job is found that was being offered while the one before it ended", () =>
    Effect.gen(function*() {
      const { one, other } = yield* twoProcesses(databases)
      yield* offer(one, "a")
      const claims = yield* one.claim(9)
      const close = yield* openTransaction(offer(one, "b"))
      const taking = yield* Effect.fork(take(other))
      yield* end(other, claims)
      yield* close("commit")
      assert.strictEqual((yield* Fiber.join(taking)).id, "b")
    }))

  it.scopedLive("a job is found that was offered while the one before it was being acknowledged", () =>
    Effect.gen(function*() {
      const { one, other } = yield* twoProcesses(databases)
      yield* offer(one, "a")
      const [claim] = yield* one.claim(9)
      const close = yield* openTransaction(one.transact(claim!, Effect.void, ack))
      yield* offer(other, "b")
      assert.deepStrictEqual(yield* other.claim(9), [])
      const taking = yield* Effect.fork(take(other))
      yield* close("commit")
      assert.strictEqual((yield* Fiber.join(taking)).id, "b")
    }))

  it.scopedLive("an offer that is committed late waits for the one that overtook it, and comes before the others", () =>
    Effect.gen(function*() {
      const { one, other } = yield* twoProcesses(databases)
      const close = yield* openTransaction(offer(one, "late"))
      yield* offer(other, "early", "last")
      const early = yield* other.claim(9)
      yield* close("commit")
      assert.deepStrictEqual([idsOf(early), yield* other.claim(9)], [["early"], []])
      yield* end(other, early)
      assert.strictEqual((yield* take(one)).id, "late")
    }))

  it.scopedLive("a job that a transaction cancels keeps its place until that has ended", () =>
    Effect.gen(function*() {
      for (const [how, next] of [["roll back", "b"], ["commit", "c"]] as const) {
        const { one, other } = yield* twoProcesses(databases)
        yield* offer(one, "a", "b", "c")
        const claims = yield* one.claim(9)
        const close = yield* openTransaction(one.cancel(["b"]))
        yield* end(other, claims)
        assert.deepStrictEqual(yield* other.claim(9), [])
        yield* close(how)
        assert.strictEqual((yield* take(other)).id, next)
      }
    }))

  it.scopedLive("statements of a version without keys move the turn on, and break no key", () =>
    Effect.gen(function*() {
      const name = "of-two-versions"
      const { one, sql } = yield* twoProcesses(databases, { name })
      yield* offer(one, "a", "b", "c")
      yield* one.claim(1)
      yield* sql`DELETE FROM lastcall_jobs WHERE queue = ${name} AND id = 'a' AND state = 'running'`
      yield* one.deadLetter(yield* take(one), "bad luck")
      assert.strictEqual((yield* take(one)).id, "c")
      yield* sql`UPDATE lastcall_jobs SET state = 'waiting', attempt = 1, failed_at = NULL WHERE queue = ${name} AND state = 'dead'`
      assert.deepStrictEqual(yield* one.claim(9), [])
      yield* one.cancel(["c"])
      assert.strictEqual((yield* take(one)).id, "b")
    }))

  it.scopedLive("the turns of a long queue are found by indexes, one key after the other", () =>
    Effect.gen(function*() {
      const name = "long-of-keys"
      const { one, sql } = yield* twoProcesses(databases, { name })
      const fill = (queue: string) =>
        Effect.zipRight(
          sql`INSERT INTO lastcall_jobs (queue, id, payload, due_at, state, key)
            SELECT ${queue}, n::text, '1', now(), 'blocked', 'key ' || n % 5000 FROM generate_series(1, 20000) AS n`,
          sql`INSERT INTO lastcall_jobs_turns (queue, key) SELECT ${queue}, 'key ' || n % 5000 FROM generate_series(1, 20000) AS n`
        )
      yield* fill("known to the statistics")
      yield* sql`ANALYZE lastcall_jobs, lastcall_jobs_turns`
      yield* fill(name)
      const plan = yield* explainAdvance(sql, "lastcall_jobs", name, 10)
      assert.notInclude(plan, "Seq Scan on")
      assert.isAtMost(mostRead(plan), 20, plan)
      assert.strictEqual((yield* one.claim(9)).length, 9)
    }))

  it.scopedLive("the turns of a burst are taken without a look at the others, also where the statistics say that there are none", () =>
    Effect.gen(function*() {
      const [opened] = yield* databases
      const { sql } = opened
      const queue = yield* Effect.flatMap(source(opened, { table: "bursts" }), ({ open }) => open({ name: "burst" }))
      yield* sql`INSERT INTO bursts (queue, id, payload, due_at, state, key)
        SELECT 'burst', n::text, '1', now(), 'blocked', 'key ' || n FROM generate_series(1, 20000) AS n`
      const turns =
        sql`INSERT INTO bursts_turns (queue, key) SELECT 'burst', 'key ' || n FROM generate_series(1, 20000) AS n`
      // Most of the time there are none, and that is what the statistics know.
      yield* Effect.zipRight(turns, sql`DELETE FROM bursts_turns`)
      yield* sql`ANALYZE bursts, bursts_turns`
      yield* turns
      const plan = yield* explainAdvance(sql, "bursts", "burst", 100)
      assert.isAtMost(mostRead(plan), 100, plan)
      assert.strictEqual((yield* queue.claim(9)).length, 9)
      assert.strictEqual((yield* queue.size) + 9, 20_000)
    }))
})
