import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, Schema, Scope, Stream } from "effect"
import { type JobEnd, JobSource } from "../../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../../src/layers/jobs/WorkerPool.js"
import { aroundStatements } from "../../../kit/aroundStatements.js"
import type { Opened } from "../../../kit/database.js"
import { eventually } from "../../../kit/until.js"
import { take } from "../JobSourceWorld.js"
import { describeEngines, describeServer, source, twoProcesses } from "./JobSourceSqlWorld.js"

class Squares extends WorkerPool.Tag("awaited-squares")<Squares, number, number, number>({
  cursor: Schema.Number,
  success: Schema.Number
}) {}

const succeeded = (value: unknown): JobEnd => ({ _tag: "Succeeded", value: Option.some(value) })
const awaited = (ids: ReadonlyArray<string>) => ({ ids, awaited: true })

/** The process, and the texts of the statements that it has sent since. */
const recorded = (opened: Opened) => {
  const sent: Array<string> = []
  const sql = aroundStatements(
    opened.sql,
    (statement, text) => Effect.zipRight(Effect.sync(() => sent.push(text)), statement)
  )
  return { opened: { ...opened, sql }, sent }
}

describeEngines("The ends of jobs in JobSourceSql", (databases) => {
  it.scopedLive("with results are written in as few statements as without, and each job keeps its own", () =>
    Effect.gen(function*() {
      const [first] = yield* databases
      const { opened, sent } = recorded(first)
      const queue = yield* Effect.flatMap(source(opened), (source) => source.open({ name: "together" }))
      const jobs = Array.from({ length: 20 }, (_, n) => n)
      const statementsFor = (round: string, valueOf: (n: number) => (() => unknown) | undefined) =>
        Effect.gen(function*() {
          const ids = jobs.map((n) => `${round}-${n}`)
          yield* queue.offer(ids, awaited(ids))
          const claims = yield* queue.claim(ids.length)
          sent.length = 0
          yield* Effect.forEach(
            claims,
            (claim, n) => queue.transact(claim, Effect.void, { _tag: "Ack", value: valueOf(n) }),
            { concurrency: "unbounded" }
          )
          const statements = sent.length
          return { statements, ends: yield* Effect.forEach(ids, queue.awaitEnd) }
        })
      const results: ReadonlyArray<unknown> = jobs.map((n) => n % 2 === 0 ? { n, "{": "\"" } : null)
      assert.deepStrictEqual(
        [
          yield* statementsFor("without", () => undefined),
          yield* statementsFor("with", (n) => () => results[n]),
          yield* statementsFor("mixed", (n) => n % 3 === 0 ? undefined : () => results[n])
        ],
        [
          { statements: 1, ends: jobs.map((): JobEnd => ({ _tag: "Succeeded", value: Option.none() })) },
          { statements: 1, ends: results.map(succeeded) },
          {
            statements: 1,
            ends: results.map((result, n) =>
              n % 3 === 0 ? { _tag: "Succeeded", value: Option.none() } : succeeded(result)
            )
          }
        ]
      )
    }))

  it.scopedLive("a result that cannot be stored fails its own job alone", () =>
    Effect.gen(function*() {
      const { one } = yield* twoProcesses(databases, { name: "unstorable" })
      const values: Readonly<Record<string, unknown>> = { "no JSON": 1n, nul: "\u0000", good: "fine" }
      yield* one.offer(Object.keys(values), awaited(Object.keys(values)))
      const claims = yield* one.claim(3)
      const ended = yield* Effect.forEach(
        claims,
        (claim) =>
          Effect.either(
            one.transact(claim, Effect.void, { _tag: "Ack", value: () => values[claim.id] })
          ),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(ended.map(({ _tag }) => _tag), ["Left", "Left", "Right"])
      assert.deepStrictEqual(yield* one.awaitEnd("good"), succeeded("fine"))
    }))

  it.scopedLive("are announced for jobs that are awaited, and for no others", () =>
    Effect.gen(function*() {
      const [{ database }] = yield* databases
      const { one } = yield* twoProcesses(databases, { name: "announced" })
      const messages: Array<string> = []
      yield* Effect.forkScoped(
        Stream.runForEach(database.listen("lastcall_jobs"), (message) => Effect.sync(() => messages.push(message)))
      )
      yield* eventually("it listens", Effect.sync(() => messages.length > 0))
      const end = Effect.flatMap(take(one), (claim) => one.acknowledge([claim]))
      yield* one.offer(["job"], { ids: ["plain"] })
      yield* end
      yield* one.offer(["job"])
      yield* end
      yield* one.offer(["job", "job", "job"], awaited(["acknowledged", "dead", "cancelled"]))
      yield* end
      yield* Effect.flatMap(take(one), (claim) => one.deadLetter(claim, "bad luck"))
      yield* one.cancel(["cancelled"])
      yield* one.deadLetters.discard(["dead"])
      const ended = () => messages.filter((message) => message.startsWith("ended "))
      yield* eventually("all are announced", Effect.sync(() => ended().length === 4))
      assert.deepStrictEqual(
        ended(),
        ["acknowledged", "dead", "cancelled", "dead"].map((id) => `ended announced\n${id}`)
      )
    }))

  it.scopedLive("are announced also by processes of the version before, which keep no result", () =>
    Effect.gen(function*() {
      const { one, other, sql } = yield* twoProcesses(databases, { name: "before" })
      yield* one.offer(["job", "job"], awaited(["done", "gone"]))
      const waiters = yield* Effect.forEach(["done", "gone"], (id) => Effect.fork(other.awaitEnd(id)))
      yield* take(one)
      yield* sql`UPDATE lastcall_jobs SET state = 'done', due_at = now() + keep_id_for, payload = 'null', lease_until = NULL
        WHERE queue = 'before' AND id = 'done'`
      yield* sql`DELETE FROM lastcall_jobs WHERE queue = 'before' AND id = 'gone'`
      assert.deepStrictEqual(yield* Effect.forEach(waiters, Fiber.join), [
        { _tag: "Succeeded", value: Option.none() },
        { _tag: "Gone" }
      ])
    }))

  it.scopedLive("are seen within the poll interval when their messages are lost", () =>
    Effect.gen(function*() {
      const table = "unannounced"
      const { one, sql } = yield* twoProcesses(databases, { table, pollInterval: "50 millis" })
      yield* sql`ALTER TABLE unannounced DISABLE TRIGGER unannounced_awaited_ended`
      yield* one.offer(["job"], awaited(["job"]))
      const waiter = yield* Effect.fork(one.awaitEnd("job"))
      const claim = yield* take(one)
      yield* one.transact(claim, Effect.void, { _tag: "Ack", value: () => 7 })
      assert.deepStrictEqual(yield* Fiber.join(waiter), succeeded(7))
    }))

  it.scopedLive("are kept, and announced, from when a job is awaited that was offered without an id", () =>
    Effect.gen(function*() {
      const { one, other, sql } = yield* twoProcesses(databases, { name: "unnamed" })
      const [id] = yield* one.offer(["job"])
      const waiter = yield* Effect.fork(other.awaitEnd(id!))
      const rows =
        sql`SELECT extract(epoch FROM keep_id_for)::int AS kept FROM lastcall_jobs WHERE id = ${id!} AND awaited`
      yield* eventually("it is marked", Effect.map(rows, ([row]) => row?.["kept"] === 60))
      const claim = yield* take(one)
      yield* one.transact(claim, Effect.void, { _tag: "Ack", value: () => ["kept"] })
      assert.deepStrictEqual([yield* Fiber.join(waiter), yield* one.awaitEnd(id!)], [
        succeeded(["kept"]),
        succeeded(["kept"])
      ])
    }))

  it.scopedLive("are gone with the writes that are rolled back: the next run gives the result", () =>
    Effect.gen(function*() {
      const { one, sql } = yield* twoProcesses(databases, { name: "rolled-back" })
      yield* one.offer(["job"], awaited(["job"]))
      const claim = yield* take(one)
      const rolledBack = one.transact(claim, Effect.void, { _tag: "Ack", value: () => "first" }).pipe(
        Effect.zipRight(Effect.fail("rolled back")),
        sql.withTransaction
      )
      assert.strictEqual(yield* Effect.flip(rolledBack), "rolled back")
      yield* one.transact(claim, Effect.void, { _tag: "Ack", value: () => "second" })
      assert.deepStrictEqual(yield* one.awaitEnd("job"), succeeded("second"))
    }))
})

describeServer("Results over JobSourceSql", (databases) => {
  it.scopedLive("a process without workers gets the results of those that run the jobs, one of which drains", () =>
    Effect.gen(function*() {
      const [first, second] = yield* databases
      const sources = yield* Effect.forEach(
        [first, second, first],
        (opened) => source(opened, { pollInterval: "1 hour" })
      )
      const build = <A, E>(layer: Layer.Layer<A, E, JobSource>, n: number, scope: Scope.Scope) =>
        Layer.buildWithScope(layer.pipe(Layer.provide(Layer.succeed(JobSource, sources[n]!))), scope)
      const workers = Squares.layer({
        concurrency: 4,
        drainTimeout: "50 millis",
        process: (n, job) =>
          Effect.gen(function*() {
            if (n % 3 === 0) return yield* job.complete(Effect.succeed(n * n))
            yield* job.checkpoint(n, Effect.void)
            return yield* Effect.delay(Effect.succeed(n * n), "30 millis")
          })
      })
      const web = yield* build(Squares.layerClient(), 0, yield* Effect.scope)
      const leaving = yield* Scope.make()
      yield* build(workers, 1, leaving)
      const results = yield* Effect.fork(
        Effect.forEach(
          Array.from({ length: 60 }, (_, n) => n),
          (n) => Squares.offerAndWait(n),
          { concurrency: 20 }
        ).pipe(Effect.provide(web))
      )
      yield* Effect.sleep("100 millis")
      yield* build(workers, 2, yield* Effect.scope)
      yield* Scope.close(leaving, Exit.void)
      assert.deepStrictEqual(yield* Fiber.join(results), Array.from({ length: 60 }, (_, n) => n * n))
    }))

  it.scopedLive("a job that is offered in a transaction is awaited after its commit", () =>
    Effect.gen(function*() {
      const [first] = yield* databases
      const layer = Squares.layer({ concurrency: 1, process: (n) => Effect.succeed(n + 1) }).pipe(
        Layer.provide(Layer.succeed(JobSource, yield* source(first, { pollInterval: "1 hour" })))
      )
      const context = yield* Layer.build(layer)
      const within = Effect.gen(function*() {
        const refused = yield* Effect.flip(Squares.offerAndWait(1))
        return [yield* Squares.offer(41, { id: "later" }), refused._tag]
      }).pipe(first.sql.withTransaction)
      assert.deepStrictEqual(
        yield* Effect.provide(Effect.zip(within, Squares.awaitResult("later")), context),
        [["later", "JobSourceError"], 42]
      )
    }))
})
