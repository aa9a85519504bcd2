import { SqlClient } from "@effect/sql"
import { assert, it } from "@effect/vitest"
import { Array, Config, ConfigProvider, Context, Duration, Effect, Layer, Option } from "effect"
import { Database } from "../../../../src/layers/database/Database.js"
import { committing } from "../../../../src/layers/database/internal/driverConnection.js"
import { JobSource } from "../../../../src/layers/jobs/JobSource.js"
import { dependencyMigration } from "../../../../src/layers/jobs/sql/internal/dependencyTable.js"
import { listStatementsOf } from "../../../../src/layers/jobs/sql/internal/listStatements.js"
import { jobTable, statementsOf } from "../../../../src/layers/jobs/sql/internal/statements.js"
import * as JobSourceSql from "../../../../src/layers/jobs/sql/JobSourceSql.js"
import { take } from "../JobSourceWorld.js"
import { describeEngines, source, twoProcesses } from "./JobSourceSqlWorld.js"

const payloads = (jobs: ReadonlyArray<{ readonly payload: unknown }>) => jobs.map(({ payload }) => payload)

const explain = (sql: SqlClient.SqlClient, statement: string, values: ReadonlyArray<unknown>) =>
  Effect.map(
    sql.unsafe<Record<string, string>>(`EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) ${statement}`, [...values]),
    (rows) => rows.map((row) => row["QUERY PLAN"]!).join("\n")
  )

/** The most rows that one step of a plan has read. */
const read = (plan: string) =>
  Math.max(...[...plan.matchAll(/Scan.*rows=(\d+)|Removed by Filter: (\d+)/g)].map((_) => Number(_[1] ?? _[2])))

describeEngines("The table of JobSourceSql", (databases) => {
  it.scopedLive("claims, waits, the reaper and pages of jobs read no row of the backlog", () =>
    Effect.gen(function*() {
      const name = "backlog"
      const { one, sql } = yield* twoProcesses(databases, { name })
      yield* sql`INSERT INTO lastcall_jobs (queue, id, payload, due_at)
        SELECT ${name}, 'delayed ' || n, '1', now() + interval '1 day' FROM generate_series(1, 20000) AS n`
      yield* sql`INSERT INTO lastcall_jobs (queue, id, payload, due_at, state, error, failed_at)
        SELECT ${name}, 'dead ' || n, '1', now(), 'dead', 'no', now() + n * interval '1 millisecond'
        FROM generate_series(1, 20000) AS n`
      yield* sql`INSERT INTO lastcall_jobs (queue, id, payload, due_at, state, key)
        SELECT ${name}, 'blocked ' || n, '1', now(), 'blocked', 'key ' || n % 100 FROM generate_series(1, 20000) AS n`
      yield* one.offer(["now"])
      const { jobs } = yield* one.depth
      assert.deepStrictEqual(jobs.Waiting, { count: 1, estimated: false })
      for (const { count, estimated } of [jobs.Delayed, jobs.Blocked, jobs.Dead]) {
        assert.isTrue(estimated)
        assert.approximately(count, 20_000, 5_000)
      }
      const { claim, deadLetters, due, ends, reap } = statementsOf("lastcall_jobs")
      const { lists } = listStatementsOf("lastcall_jobs")
      const [later] = yield* sql<
        { at: number }
      >`SELECT (extract(epoch FROM now() + interval '1 day') * 1e6)::float8 AS at`
      const plan = (statement: string, values: ReadonlyArray<unknown>) => explain(sql, statement, values)
      const plans = yield* Effect.all([
        plan(due, [name, true]),
        plan(ends, [name, ["now", "dead 9", "blocked 9"]]),
        plan(reap, [[name]]),
        plan(deadLetters, [name, 10, null, null]),
        plan(lists.Waiting, [name, 10, null, null]),
        plan(lists.Delayed, [name, 10, null, null]),
        plan(lists.Delayed, [name, 10, later!.at - 1, "5000"]),
        plan(lists.Blocked, [name, 10, null, null]),
        plan(lists.Blocked, [name, 10, 15_000, "key 50"]),
        plan(lists.Running, [name, 10, null, null]),
        plan(lists.Dead, [name, 10, null, null]),
        plan(lists.Dead, [name, 10, later!.at - 86_400e6 + 9_000, "dead 9"]),
        plan(claim, [name, 10, 10, true, "here/1"])
      ])
      for (const plan of plans) {
        assert.notInclude(plan, "Seq Scan")
        assert.isAtMost(read(plan), 10, plan)
      }
    }))

  it.scopedLive("claims and leases of a queue that the statistics do not know read no row of its backlog", () =>
    Effect.gen(function*() {
      const name = "unknown"
      const table = "statistics"
      const [opened] = yield* databases
      const { sql } = opened
      yield* Effect.flatMap(source(opened, { table }), ({ open }) => open({ name }))
      const fill = (queue: string) =>
        sql`INSERT INTO ${sql(table)} (queue, id, payload, due_at, state, fence, lease_until)
          SELECT ${queue}, 'job ' || n, '1', now(), CASE WHEN n > 10 THEN 'waiting' ELSE 'running' END, n, now() + interval '1 hour'
          FROM generate_series(1, 20000) AS n`
      yield* fill("known")
      yield* sql`ANALYZE ${sql(table)}`
      yield* fill(name)
      const numbers = Array.makeBy(10, (n) => n + 1)
      const leases = [name, numbers.map((n) => `job ${n}`), numbers.map(String)]
      const waiting = numbers.map((n) => `job ${n + 100}`)
      const { cancel, claim, claimDelivered, ends, handBack, renew } = statementsOf(table)
      for (
        const [statement, values] of [
          [renew, [...leases, 10]],
          [claim, [name, 10, 10, true, "here/1"]],
          [claimDelivered, [name, waiting, 10, true, "here/1", 10]],
          [cancel, [name, waiting.slice(0, 2)]],
          [ends, [name, waiting]],
          [handBack, leases]
        ] as const
      ) {
        const plan = yield* explain(sql, statement, values)
        assert.isAtMost(read(plan), 20, plan)
      }
    }))

  it.scopedLive("an acknowledgement that was planned when the table was empty reads no row of others", () =>
    Effect.gen(function*() {
      const table = "planned"
      const [opened] = yield* databases
      const { sql } = opened
      yield* Effect.flatMap(source(opened, { table }), ({ open }) => open({ name: "one" }))
      yield* sql`VACUUM ANALYZE ${sql(table)}`
      const { ackLast } = statementsOf(table)
      const plan = (id: string, fence: number) =>
        explain(sql, `EXECUTE acknowledge('one', '${id}', '${fence}', NULL, false)`, [])
      yield* sql.withTransaction(Effect.gen(function*() {
        for (const text of committing.before) yield* sql.unsafe(text)
        yield* sql.unsafe(`PREPARE acknowledge AS ${ackLast}`)
        yield* sql`SAVEPOINT planned`
        assert.include((yield* Effect.flip(plan("job 1", 1))).message, "the lease is lost")
        yield* sql`ROLLBACK TO SAVEPOINT planned`
        yield* sql`INSERT INTO ${sql(table)} (queue, id, payload, due_at, state, fence, lease_until)
          SELECT 'one', 'job ' || n, '1', now(), CASE WHEN n % 2 = 0 THEN 'waiting' ELSE 'running' END, n, now() + interval '1 hour'
          FROM generate_series(1, 20000) AS n`
        const planned = yield* plan("job 10001", 10_001)
        assert.include(planned, "$1", planned)
        assert.notInclude(planned, "Seq Scan")
        assert.isAtMost(read(planned), 1, planned)
        assert.deepStrictEqual(yield* sql`SELECT id FROM ${sql(table)} WHERE fence = 10001`, [])
        yield* sql`DEALLOCATE acknowledge`
      }))
    }))

  it.scopedLive("a table that a newer version has migrated is used as it is", () =>
    Effect.gen(function*() {
      const [first, second] = yield* databases
      const { sql } = first
      const table = "newer"
      const queue = yield* Effect.flatMap(source(first, { table }), ({ open }) => open({ name: "queue" }))
      yield* queue.offer(["job"])
      yield* sql`ALTER TABLE newer ADD COLUMN color text`
      yield* sql`INSERT INTO newer_migrations (number) VALUES (99)`
      const migrations = sql`SELECT number FROM newer_migrations`
      const before = yield* migrations
      const other = yield* Effect.flatMap(source(second, { table }), ({ open }) => open({ name: "queue" }))
      assert.deepStrictEqual(payloads(yield* other.claim(1)), ["job"])
      assert.deepStrictEqual(yield* migrations, before)
    }))

  it.scopedLive("what dead letters failed with is read with SQL, and forgotten also where the version before redrives them", () =>
    Effect.gen(function*() {
      const [first] = yield* databases
      const { sql } = first
      const table = "failed"
      const queue = yield* Effect.flatMap(source(first, { table }), ({ open }) => open({ name: "queue" }))
      const ids = ["a", "b", "c"]
      yield* queue.offer(ids, { ids })
      for (const [n, claim] of (yield* queue.claim(3)).entries()) {
        yield* queue.deadLetter(claim, "no", n === 2 ? Option.none() : Option.some({ _tag: "Refused", code: 550 + n }))
      }
      assert.deepStrictEqual(
        yield* sql`SELECT id, (failure->>'code')::int AS code FROM failed WHERE failure->>'_tag' = 'Refused' ORDER BY id`,
        [{ id: "a", code: 550 }, { id: "b", code: 551 }]
      )
      yield* sql`UPDATE failed SET state = 'waiting', attempt = 1, failed_at = NULL WHERE id = 'a'`
      yield* sql`UPDATE failed SET state = 'dead', error = 'another', failed_at = now() WHERE id = 'a'`
      assert.deepStrictEqual(yield* sql`SELECT id, error, failure FROM failed ORDER BY id`, [
        { id: "a", error: "another", failure: null },
        { id: "b", error: "no", failure: { _tag: "Refused", code: 551 } },
        { id: "c", error: "no", failure: null }
      ])
    }))

  it.scopedLive("jobs of a table from before there were dependencies may be depended on, whether they wait, run or are dead", () =>
    Effect.gen(function*() {
      const [first, second] = yield* databases
      const { sql } = first
      const table = "independent"
      const { migrations } = jobTable(table)
      const known = migrations.indexOf(dependencyMigration(table))
      yield* sql`CREATE TABLE independent_migrations (number int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`
      yield* sql.withTransaction(Effect.forEach(migrations.slice(0, known), (migration) => sql.unsafe(migration).raw))
      yield* sql`INSERT INTO independent_migrations (number) SELECT generate_series(1, ${known}::int)`
      yield* sql`INSERT INTO independent (queue, id, payload, due_at, state, fence, lease_until, error, failed_at, key)
        VALUES ('queue', 'waits', '1', now(), 'waiting', NULL, NULL, NULL, NULL, NULL),
          ('queue', 'blocked', '1', now(), 'blocked', NULL, NULL, NULL, NULL, 'key'),
          ('queue', 'runs', '1', now(), 'running', 1, now() + interval '1 hour', NULL, NULL, 'key'),
          ('queue', 'dead', '1', now(), 'dead', NULL, NULL, 'no', now(), NULL)`
      const one = yield* Effect.flatMap(source(first, { table }), ({ open }) => open({ name: "queue" }))
      const other = yield* Effect.flatMap(source(second, { table }), ({ open }) => open({ name: "queue" }))
      yield* one.offer(["job"], { ids: ["job"], dependsOn: [["waits", "blocked", "runs", "dead"]] })
      // As processes of the version before end it.
      yield* sql`UPDATE independent SET state = 'done', due_at = clock_timestamp() + keep_id_for WHERE id = 'runs'`
      yield* other.deadLetters.redrive(["dead"])
      const ended: Array<string> = []
      for (let n = 0; n < 4; n++) {
        const claim = yield* take(n % 2 === 0 ? one : other)
        ended.push(claim.id)
        assert.deepStrictEqual(yield* other.acknowledge([claim]), [])
      }
      assert.deepStrictEqual([[...ended].sort(), ended.at(-1)], [["blocked", "dead", "job", "waits"], "job"])
    }))

  it.scopedLive("options come from the configuration", () =>
    Effect.gen(function*() {
      const [{ database, sql }] = yield* databases
      const config = ConfigProvider.fromMap(new Map([["TABLE", "configured"], ["LEASE", "20 seconds"]]))
      const { open, renewEvery } = yield* Layer.build(
        JobSourceSql.layerConfig({ table: Config.string("TABLE"), lease: Config.duration("LEASE") })
      ).pipe(
        Effect.map(Context.get(JobSource)),
        Effect.withConfigProvider(config),
        Effect.provideService(Database, database),
        Effect.provideService(SqlClient.SqlClient, sql)
      )
      assert.deepStrictEqual(renewEvery, Duration.seconds(5))
      yield* Effect.flatMap(open({ name: "queue" }), ({ offer }) => offer(["job"]))
      assert.deepStrictEqual(yield* sql`SELECT queue, state, attempt FROM configured`, [
        { queue: "queue", state: "waiting", attempt: 1 }
      ])
    }))

  it.scopedLive("several processes may make the table and open the same queues at the same time", () =>
    Effect.gen(function*() {
      const [first, second] = yield* databases
      // The processes meet at the critical moment only by chance, so there are several rounds.
      for (const table of ["made_by_many_1", "made_by_many_2", "made_by_many_3", "made_by_many_4"]) {
        const sources = yield* Effect.forEach([first, second, first, second], (opened) => source(opened, { table }))
        const queues = yield* Effect.forEach(
          sources.flatMap(({ open }) => [open, open]),
          (open, n) => open({ name: n % 2 === 0 ? "even" : "odd" }),
          { concurrency: "unbounded" }
        )
        yield* Effect.forEach(queues, ({ offer }, n) => offer([n]))
        assert.deepStrictEqual(payloads(yield* queues[0]!.claim(9)), [0, 2, 4, 6])
        assert.deepStrictEqual(payloads(yield* queues[7]!.claim(9)), [1, 3, 5, 7])
      }
    }))

  it.scopedLive("a lease shorter than two renewals is refused", () =>
    Effect.gen(function*() {
      const { open, renewEvery } = yield* source((yield* databases)[0], { lease: "12 seconds" })
      assert.deepStrictEqual(renewEvery, Duration.seconds(3))
      const error = yield* Effect.flip(open({ name: "short", lease: "5 seconds" }))
      assert.strictEqual(error.message, "short: open failed: its lease is shorter than 6s, two renewals")
    }))
})
