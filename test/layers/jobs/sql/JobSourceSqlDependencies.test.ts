import { assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { type JobQueue, UnknownDependency } from "../../../../src/layers/jobs/JobSource.js"
import { offerDependentStatement } from "../../../../src/layers/jobs/sql/internal/dependencyStatements.js"
import { Choices, seed } from "../../../kit/random.js"
import { eventually } from "../../../kit/until.js"
import { ack, take } from "../JobSourceWorld.js"
import { describeServer, end, idsOf, makeOpenTransaction, twoProcesses } from "./JobSourceSqlWorld.js"

const offer = (queue: JobQueue, id: string, ...dependsOn: ReadonlyArray<string>) =>
  queue.offer([id], { ids: [id], dependsOn: [dependsOn] })

describeServer("Dependencies of JobSourceSql", (databases) => {
  const openTransaction = makeOpenTransaction(databases)
  /** Completes when a statement waits for the lock of another transaction. */
  const someoneWaits = Effect.gen(function*() {
    const [{ sql }] = yield* databases
    yield* eventually(
      "a statement waits for a lock",
      sql<{ n: number }>`SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted`,
      ([row]) => row!.n > 0
    )
  })

  it.scopedLive("a job that ends while one that depends on it is being offered has ended, and releases it", () =>
    Effect.gen(function*() {
      for (const ids of [undefined, ["given"]]) {
        for (const how of ["commit", "roll back"] as const) {
          const { one, other } = yield* twoProcesses(databases)
          const [id] = yield* one.offer(["first"], ids && { ids })
          const claims = yield* one.claim(9)
          const close = yield* openTransaction(offer(other, "second", id!))
          const ending = yield* Effect.fork(end(one, claims))
          yield* someoneWaits
          yield* close(how)
          yield* Fiber.join(ending)
          if (how === "commit") assert.strictEqual((yield* take(other)).id, "second")
          assert.strictEqual(yield* one.size, 0)
        }
      }
    }))

  it.scopedLive("the result of a job that ends meanwhile is kept, also when it is written in a transaction", () =>
    Effect.gen(function*() {
      const { one, other, write, written } = yield* twoProcesses(databases)
      const [id] = yield* one.offer(["first"])
      const [claim] = yield* one.claim(9)
      const close = yield* openTransaction(offer(other, "second", id!))
      const ending = yield* Effect.fork(
        one.transact(claim!, write("first"), { _tag: "Ack", value: () => 7 })
      )
      yield* someoneWaits
      yield* close("commit")
      yield* Fiber.join(ending)
      assert.deepStrictEqual(yield* written, ["first"])
      assert.deepInclude(yield* other.awaitEnd(id!), { _tag: "Succeeded" })
      assert.strictEqual((yield* take(other)).id, "second")
    }))

  it.scopedLive("a job that is offered while one that it depends on ends is available when its id is kept, and else refused", () =>
    Effect.gen(function*() {
      for (const ids of [undefined, ["given"]]) {
        const { one, other } = yield* twoProcesses(databases)
        const [id] = yield* one.offer(["first"], ids && { ids })
        const [claim] = yield* one.claim(9)
        const close = yield* openTransaction(one.transact(claim!, Effect.void, ack))
        const offering = yield* Effect.fork(Effect.either(offer(other, "second", id!)))
        yield* someoneWaits
        yield* close("commit")
        const offered = yield* Fiber.join(offering)
        if (ids !== undefined) assert.strictEqual((yield* take(one)).id, "second")
        else {assert(
            offered._tag === "Left" && offered.left._tag === "JobSourceError" &&
              offered.left.cause instanceof UnknownDependency
          )}
      }
    }))

  it.scopedLive("two jobs that end in transactions of the same time release the one that depends on both", () =>
    Effect.gen(function*() {
      const { one, other } = yield* twoProcesses(databases)
      yield* one.offer(["a", "b"], { ids: ["a", "b"] })
      yield* offer(one, "last", "a", "b")
      const [a, b] = yield* one.claim(9)
      const closeA = yield* openTransaction(one.transact(a!, Effect.void, ack), 0)
      const closeB = yield* openTransaction(other.transact(b!, Effect.void, ack), 1)
      yield* Effect.all([closeA("commit"), closeB("commit")], { concurrency: "unbounded" })
      assert.strictEqual((yield* take(other)).id, "last")
    }))

  it.scopedLive(
    "transactions that end jobs of the same dependents, in any order, do not lock each other out",
    () =>
      Effect.gen(function*() {
        const { one, other } = yield* twoProcesses(databases)
        const targets = ["w", "x", "y", "z"]
        for (let round = 0; round < 8; round++) {
          const id = (name: string) => `${round}-${name}`
          const sources = targets.flatMap((target) => [`left-${target}`, `right-${target}`])
          yield* one.offer(sources, { ids: sources.map(id) })
          yield* Effect.forEach(targets, (name) => offer(one, id(name), id(`left-${name}`), id(`right-${name}`)))
          const claims = yield* one.claim(99)
          const side = (name: string) => claims.filter(({ payload }) => (payload as string).startsWith(name))
          const inTurn = (queue: JobQueue, n: 0 | 1, claims: ReturnType<typeof side>) =>
            Effect.flatMap(databases, (opened) =>
              opened[n].sql.withTransaction(Effect.forEach(claims, (claim) =>
                queue.transact(claim, Effect.void, ack))))
          yield* Effect.all([inTurn(one, 0, side("left")), inTurn(other, 1, [...side("right")].reverse())], {
            concurrency: "unbounded"
          })
          const released = yield* one.claim(99)
          assert.deepStrictEqual(idsOf(released).sort(), targets.map(id).sort())
          yield* end(one, released)
        }
      }),
    60_000
  )

  it.scopedLive(
    "random jobs that are offered and end at the same time all run, each after those that it depends on",
    () =>
      Effect.gen(function*() {
        const choices = new Choices(seed)
        const { one, other } = yield* twoProcesses(databases)
        const jobs = 150
        const dependsOn = new Map<string, ReadonlyArray<string>>()
        const ended = new Set<string>()
        const claimer = (queue: JobQueue) =>
          Effect.forever(Effect.flatMap(take(queue), (claim) =>
            Effect.gen(function*() {
              for (const id of dependsOn.get(claim.id) ?? []) assert.isTrue(ended.has(id), `${claim.id} before ${id}`)
              // Before its end is committed: what depends on it may begin at once.
              ended.add(claim.id)
              yield* choices.chance(0.5) ? queue.transact(claim, Effect.void, ack) : end(queue, [claim])
            })))
        const claimers = yield* Effect.forEach([one, other, one, other], (queue) => Effect.fork(claimer(queue)))
        for (let n = 0; n < jobs; n++) {
          const before = Array.from(
            { length: Math.min(n, choices.int(0, 4)) },
            () => `job ${choices.int(Math.max(0, n - 8), n - 1)}`
          )
          dependsOn.set(`job ${n}`, before)
          yield* offer(n % 2 === 0 ? one : other, `job ${n}`, ...before)
        }
        yield* eventually("all jobs have run", one.size, (size) => size === 0)
        yield* eventually("all jobs have ended", Effect.sync(() => ended.size), (size) => size === jobs)
        yield* Fiber.interruptAll(claimers)
      }),
    60_000
  )

  it.scopedLive("statements of the version before release jobs, wait again when they redrive, and end those of a job that they cancel", () =>
    Effect.gen(function*() {
      const name = "dependencies-of-two-versions"
      const { one, other, sql } = yield* twoProcesses(databases, { name })
      const [first] = yield* one.offer(["first"])
      yield* offer(one, "second", first!)
      yield* offer(one, "third", "second")
      yield* offer(one, "last", "second", "third")
      yield* one.claim(9)
      // Its acknowledgement.
      yield* sql`WITH removed AS (DELETE FROM lastcall_jobs WHERE queue = ${name} AND state = 'running' AND keep_id_for IS NULL),
        kept AS (UPDATE lastcall_jobs SET state = 'done', due_at = clock_timestamp() + keep_id_for
          WHERE queue = ${name} AND state = 'running' AND keep_id_for IS NOT NULL)
        SELECT 1`
      const second = yield* take(other)
      assert.strictEqual(second.id, "second")
      yield* sql`DELETE FROM lastcall_jobs WHERE queue = ${name} AND id = 'third' AND state IN ('waiting', 'running', 'blocked')`
      assert.deepStrictEqual(idsOf(yield* one.deadLetters.list(9)), ["last"])
      yield* sql`UPDATE lastcall_jobs SET state = 'waiting', attempt = 1, failed_at = NULL, due_at = clock_timestamp()
        WHERE queue = ${name} AND state = 'dead'`
      assert.deepStrictEqual(yield* one.claim(9), [])
      yield* end(other, [second])
      assert.strictEqual((yield* take(one)).id, "last")
      const left = yield* sql`SELECT 1 FROM lastcall_jobs_dependencies WHERE queue = ${name}`
      assert.lengthOf(left, 0)
    }))

  it.scopedLive("offers of a queue that the statistics do not know read no row of its backlog", () =>
    Effect.gen(function*() {
      const name = "unknown-of-dependencies"
      const { sql } = yield* twoProcesses(databases, { name })
      yield* sql`INSERT INTO lastcall_jobs (queue, id, payload, due_at)
        SELECT ${name}, n::text, '1', now() FROM generate_series(1, 20000) AS n`
      const statement = offerDependentStatement("lastcall_jobs", {
        ids: "id = ANY($2::text[])",
        now: "(SELECT clock_timestamp())",
        forgettable: "state = 'done' AND due_at <= (SELECT clock_timestamp())"
      })
      const values = [["a", "b"], ["1", "1"], 0, 300, 0, null, [null, null], false, [1, 2], [name, name], ["7", "8"]]
      const rows = yield* sql.unsafe<Record<string, string>>(`EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) ${statement}`, [
        name,
        ...values
      ])
      const plan = rows.map((row) => row["QUERY PLAN"]!).join("\n")
      const read = [...plan.matchAll(/Scan.*rows=(\d+)|Removed by Filter: (\d+)/g)].map((_) => Number(_[1] ?? _[2]))
      assert.notInclude(plan, "Seq Scan")
      assert.isAtMost(Math.max(...read), 10, plan)
    }))
})
