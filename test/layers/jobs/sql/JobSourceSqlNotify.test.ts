import { SqlError } from "@effect/sql"
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Scope, Stream } from "effect"
import type { JobQueue } from "../../../../src/layers/jobs/JobSource.js"
import { aroundStatements } from "../../../kit/aroundStatements.js"
import type { Opened } from "../../../kit/database.js"
import { eventually } from "../../../kit/until.js"
import { take, takeWaiting } from "../JobSourceWorld.js"
import { type Databases, describeOwnClients, describeServer, source, twoProcesses } from "./JobSourceSqlWorld.js"

const keyed = { keys: ["key"] }

/** Keeps the reserved connection of a process until the effect that it returns. */
const holdReserved = ({ database }: Opened) =>
  Effect.gen(function*() {
    const held = yield* Deferred.make<void>()
    const release = yield* Deferred.make<void>()
    const fiber = yield* database.reserved.reserve.pipe(
      Effect.zipRight(Deferred.succeed(held, void 0)),
      Effect.zipRight(Deferred.await(release)),
      Effect.scoped,
      Effect.fork
    )
    yield* Deferred.await(held)
    return Effect.zipRight(Deferred.succeed(release, void 0), Fiber.join(fiber))
  })

/** A database whose reserved connection fails so many notifications. */
const failing = (opened: Opened, failures: number): Opened => {
  const { reserved } = opened.database
  let left = failures
  const lost = new SqlError.SqlError({ cause: new Error("lost") })
  const failing = aroundStatements(
    reserved,
    (statement, text) =>
      text.includes("pg_notify") ? Effect.suspend(() => left-- > 0 ? Effect.fail(lost) : statement) : statement
  )
  return { ...opened, database: { ...opened.database, reserved: failing } }
}

/** The notifications of the table from now on. `until` waits for one, and returns those that came before it. */
const hear = (databases: Databases) =>
  Effect.gen(function*() {
    const [, { database }] = yield* databases
    const heard: Array<string> = []
    const listening = yield* Deferred.make<void>()
    yield* database.listen("lastcall_jobs").pipe(
      Stream.runForEach((payload) =>
        payload === ""
          ? Deferred.succeed(listening, void 0)
          : Effect.sync(() => {
            heard.push(payload)
          })
      ),
      Effect.forkScoped
    )
    yield* Deferred.await(listening)
    const until = (payload: string) =>
      eventually(payload, Effect.sync(() => heard), (heard) => heard.includes(payload)).pipe(
        Effect.map((heard) => heard.slice(0, heard.indexOf(payload)))
      )
    return { until, last: Effect.zipRight(database.notify("lastcall_jobs", "last"), until("last")) }
  })

/** Whether an effect goes on waiting when every other fiber has had its turns. */
const waits = (effect: Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(effect)
    yield* Effect.repeatN(Effect.yieldNow(), 100)
    const exit = yield* Fiber.poll(fiber)
    yield* Fiber.interrupt(fiber)
    return Option.isNone(exit)
  })

describeServer("Notifications of JobSourceSql", (openDatabases) => {
  /** The same two databases for all of a test. */
  const opened = Effect.map(openDatabases, (both): Databases => Effect.succeed(both))

  it.scopedLive("a job that a transaction has offered wakes pools that wait in other processes when it commits", () =>
    Effect.gen(function*() {
      const databases = yield* opened
      for (const options of [{}, keyed]) {
        const { one, other, sql } = yield* twoProcesses(databases)
        const taken = yield* takeWaiting(other)
        yield* sql.withTransaction(one.offer(["news"], options))
        assert.strictEqual((yield* Fiber.join(taken)).payload, "news")
      }
    }))

  it.scopedLive("no transaction that offers has a notification in it: whatever commits such ones, commits them one at a time", () =>
    Effect.gen(function*() {
      const databases = yield* opened
      const { one, other, sql } = yield* twoProcesses(databases, { name: "apart" })
      yield* Effect.zipRight(one.claim(1), other.claim(1))
      const { last, until } = yield* hear(databases)
      const [first] = yield* databases
      const release = yield* holdReserved(first)
      for (const options of [{}, keyed]) {
        yield* sql.withTransaction(one.offer(["in a transaction"], options))
        yield* one.offer(["alone"], options)
      }
      yield* sql.withTransaction(one.offer(["awaited"], { awaited: true }))
      // Whatever had committed a notification before would be heard before this one.
      const before = yield* last
      yield* release
      yield* until("keyed apart")
      assert.deepStrictEqual(before, [])
    }))

  it.scopedLive("no transaction that completes a job has a notification in it, also where its key has another one, or its end is awaited", () =>
    Effect.gen(function*() {
      const databases = yield* opened
      const { one, other, sql, write } = yield* twoProcesses(databases, { name: "ends" })
      const done = { _tag: "Ack" } as const
      for (const how of ["in a transaction", "alone", "together"] as const) {
        const ids = [`${how} 1`, `${how} 2`, `${how} 3`]
        yield* one.offer(ids, { ids, keys: ids.map(() => how), awaited: true })
        const claims = [yield* take(one)]
        assert.deepStrictEqual(yield* one.claim(9), [])
        const taking = yield* takeWaiting(other)
        const { last, until } = yield* hear(databases)
        const [first] = yield* databases
        const release = yield* holdReserved(first)
        if (how === "in a transaction") yield* sql.withTransaction(one.transact(claims[0]!, write("a"), done))
        else if (how === "alone") yield* one.transact(claims[0]!, Effect.void, done)
        else yield* one.transactAll([claims[0]!], () => write("a"))
        assert.deepStrictEqual(yield* last, [], how)
        yield* release
        yield* until(`ended ends\n${how} 1`)
        yield* until("keyed ends")
        assert.strictEqual((yield* Fiber.join(taking)).id, `${how} 2`)
        yield* one.cancel(ids)
      }
    }))

  it.scopedLive("what is offered while a notification is on its way is announced by the next one, once for each queue", () =>
    Effect.gen(function*() {
      const databases = yield* opened
      const { one } = yield* twoProcesses(databases, { name: "first" })
      const { one: another } = yield* twoProcesses(databases, { name: "second" })
      yield* Effect.zipRight(one.claim(1), another.claim(1))
      const { until } = yield* hear(databases)
      const [first] = yield* databases
      const release = yield* holdReserved(first)
      const offers = Effect.replicateEffect(one.offer(["job"]), 20, { concurrency: "unbounded", discard: true })
      yield* offers
      yield* first.sql.withTransaction(one.offer(["job"]))
      yield* release
      const early = yield* until("first")
      yield* another.offer(["job"])
      // The one that was waiting for the connection, and the one after it.
      assert.isAtMost([...early, ...(yield* until("second"))].length, 2)
    }))

  it.scopedLive("a transaction that is rolled back announces nothing, nor does a savepoint, nor an offer that adds no job", () =>
    Effect.gen(function*() {
      const databases = yield* opened
      const { one, sql } = yield* twoProcesses(databases, { name: "rolled-back" })
      const { last, until } = yield* hear(databases)
      yield* one.offer(["job"], { ids: ["known"] })
      yield* until("rolled-back")
      const failed = Effect.ignore(sql.withTransaction(Effect.zipRight(one.offer(["no"]), Effect.fail("no"))))
      yield* failed
      yield* sql.withTransaction(failed)
      yield* one.offer(["job"], { ids: ["known"] })
      const { one: next } = yield* twoProcesses(databases, { name: "next" })
      yield* next.offer(["job"])
      yield* until("next")
      assert.deepStrictEqual((yield* last).filter((payload) => payload === "rolled-back"), ["rolled-back"])
    }))

  it.scopedLive("an offer wakes the pools of its own process without a notification, and its own notification does not wake them again", () =>
    Effect.gen(function*() {
      const databases = yield* opened
      const [first, second] = yield* databases
      const pollInterval = "1 hour"
      const { open } = yield* source(first, { pollInterval })
      const [queue, mark] = [yield* open({ name: "own" }), yield* open({ name: "mark" })]
      const otherMark = yield* Effect.flatMap(source(second, { pollInterval }), ({ open }) => open({ name: "mark" }))
      yield* mark.claim(1)
      const { until } = yield* hear(databases)
      const taken = yield* takeWaiting(queue)
      const release = yield* holdReserved(first)
      yield* queue.offer(["job"])
      yield* Fiber.join(taken)
      yield* queue.claim(1)
      yield* release
      yield* until("own")
      // Received after the notification above.
      yield* otherMark.offer(["job"])
      yield* mark.wait
      assert.isTrue(yield* waits(queue.wait))
    }))

  it.scopedLive("a notification of another process is not taken for one of the own", () =>
    Effect.gen(function*() {
      const databases = yield* opened
      const { one, other } = yield* twoProcesses(databases)
      for (let round = 0; round < 20; round++) {
        const taken = yield* takeWaiting(one)
        yield* Effect.all([other.offer([round]), one.offer([round])], { concurrency: "unbounded" })
        yield* Effect.zipRight(Fiber.join(taken), take(one))
      }
    }))

  it.scopedLive("a notification that fails is tried once more, and then left to polling", () =>
    Effect.gen(function*() {
      const databases = yield* opened
      const name = "failing"
      const [first, second] = yield* databases
      const open = (opened: Opened, pollInterval: "1 hour" | "100 millis" = "1 hour") =>
        Effect.flatMap(source(opened, { pollInterval }), ({ open }) => open({ name }))
      const other = yield* open(second)
      const taken = yield* takeWaiting(other)
      yield* Effect.flatMap(open(failing(first, 1)), ({ offer }) => offer(["once"]))
      assert.strictEqual((yield* Fiber.join(taken)).payload, "once")
      const polling = yield* takeWaiting(yield* open(second, "100 millis"))
      yield* Effect.flatMap(open(failing(first, 2)), ({ offer }) => offer(["twice"]))
      assert.strictEqual((yield* Fiber.join(polling)).payload, "twice")
    }))

  it.scopedLive("what is not announced yet when the source is released is announced then, within a second", () =>
    Effect.gen(function*() {
      const databases = yield* opened
      const [first] = yield* databases
      const name = "released"
      for (const inTime of [true, false]) {
        const scope = yield* Scope.make()
        const queue: JobQueue = yield* source(first, { pollInterval: "1 hour" }).pipe(
          Effect.flatMap(({ open }) => open({ name })),
          Scope.extend(scope)
        )
        yield* queue.claim(1)
        const { last, until } = yield* hear(databases)
        const release = yield* holdReserved(first)
        yield* queue.offer(["job"])
        const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
        if (inTime) {
          yield* release
          assert.deepStrictEqual(yield* until(name), [])
        }
        yield* Fiber.join(closing)
        if (!inTime) {
          yield* release
          assert.deepStrictEqual(yield* last, [])
        }
      }
    }))
})

describeOwnClients("Notifications of JobSourceSql", (databases) => {
  it.scopedLive("a job that a transaction has offered wakes pools that wait in other processes when it commits", () =>
    Effect.gen(function*() {
      for (const options of [{}, keyed]) {
        const { one, other, sql } = yield* twoProcesses(databases)
        const taken = yield* takeWaiting(other)
        yield* sql.withTransaction(one.offer(["news"], options))
        assert.strictEqual((yield* Fiber.join(taken)).payload, "news")
      }
    }))
})
