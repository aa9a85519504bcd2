import { assert, describe, it } from "@effect/vitest"
import { Queue } from "bullmq"
import { Context, Duration, Effect, Exit, Fiber, Layer, Logger, Option, Redacted, Scope } from "effect"
import { Redis } from "ioredis"
import { type Claim, JobSource } from "../../../../src/layers/jobs/JobSource.js"
import { connect } from "../../../../src/layers/jobs/redis/internal/connection.js"
import { parseUrl } from "../../../../src/layers/jobs/redis/internal/url.js"
import * as JobSourceRedis from "../../../../src/layers/jobs/redis/JobSourceRedis.js"
import * as WorkerPool from "../../../../src/layers/jobs/WorkerPool.js"
import { jobSourceConformance } from "../../../conformance/jobSource.js"
import { describeRedis, newPrefix, type RedisPlace } from "../../../kit/redis.js"
import { take, takeWaiting } from "../JobSourceWorld.js"
import { source, twoProcesses } from "./JobSourceRedisWorld.js"

class Closed extends WorkerPool.Tag("closed")<Closed, number>() {}

const ack = { _tag: "Ack" } as const

const connections = (redis: RedisPlace) =>
  Effect.promise(async () => {
    const client = new Redis(redis.url)
    const list = await client.call("CLIENT", "LIST") as string
    client.disconnect()
    return list.split("\n").filter((line) => line.includes("name=lastcall")).length
  })

/** Why a source does not start. */
const why = (url: string) =>
  Layer.launch(JobSourceRedis.layer({ url: Redacted.make(url), connectTimeout: "2 seconds" })).pipe(
    Effect.flip,
    Effect.map((error) => `${error.reason}: ${error.message}`)
  )

describe("JobSourceRedis when it connects", () => {
  it.live("an invalid URL fails with what is wrong with it, without the password", () =>
    Effect.gen(function*() {
      const expected = "expected redis://user:password@host:port/number, or rediss:// for TLS."
      assert.deepStrictEqual(
        yield* Effect.forEach([
          "",
          "secret@there",
          "http://me:secret@there",
          "redis://",
          "redis://me:secret@there:port",
          "redis://me:sec%ret@there",
          "redis://me:1/secret@there",
          "redis://me:1?secret@there",
          "redis://me:1#secret@there",
          "redis://me:secret@there/first"
        ], why),
        [
          `InvalidUrl: The Redis URL is empty: ${expected}`,
          `InvalidUrl: The Redis URL has no scheme: ${expected}`,
          `InvalidUrl: The Redis URL has the scheme http://: ${expected}`,
          `InvalidUrl: The Redis URL names no host: ${expected}`,
          "InvalidUrl: The Redis URL is no valid URL (special characters in the user or the password must be " +
          `percent-encoded): ${expected}`,
          `InvalidUrl: The Redis URL has a % that encodes nothing (percent-encode the user and the password: % is %25): ${expected}`,
          ...Array.from({ length: 3 }, () =>
            "InvalidUrl: The Redis URL has an @ behind its host (percent-encode the user and the password: " +
            `/ is %2F, ? is %3F, # is %23, @ is %40): ${expected}`),
          `InvalidUrl: The Redis URL names a database that is no number: ${expected}`
        ]
      )
    }))

  it.live("an unreachable server fails with its address", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* why("redis://me:secret@127.0.0.1:1/2"),
        "Unreachable: Redis at 127.0.0.1:1, database 2 cannot be reached: connect ECONNREFUSED 127.0.0.1:1"
      )
    }))
})

/** Blocks the event loop, as a database in memory does while it starts. */
const blockEventLoop = (millis: number) =>
  Effect.zipRight(
    Effect.promise(() => new Promise(setImmediate)),
    Effect.sync(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis))
  )

describeRedis("JobSourceRedis", (redis) => {
  it.scopedLive("a process whose event loop is blocked while it connects does not report the server as away", () =>
    Effect.gen(function*() {
      const target = yield* parseUrl(Redacted.make(redis.url))
      const connecting = yield* Effect.fork(
        connect({ Redis, target, connectTimeout: Duration.seconds(1), responseTimeout: undefined })
      )
      yield* Effect.repeatN(blockEventLoop(1_200), 1)
      const { awayError } = yield* Fiber.join(connecting)
      assert.isUndefined(awayError())
    }))

  it.scopedLive("the database is that of the URL; one that the server does not have is an error, and not database 0", () =>
    Effect.gen(function*() {
      const { host } = new URL(redis.url)
      const [third, zeroth] = yield* Effect.forEach(
        [3, 0],
        (db) =>
          Effect.flatMap(
            Layer.build(JobSourceRedis.layer({ url: Redacted.make(`redis://${host}/${db}`) })),
            (context) => Context.get(context, JobSource).open({ name: "of-one-database" })
          )
      )
      yield* third!.offer(["job"])
      assert.deepStrictEqual([yield* third!.size, yield* zeroth!.size], [1, 0])
      assert.strictEqual(
        yield* why(`redis://${host}/99`),
        `Unreachable: Redis at ${host}, database 99 cannot be used: ERR DB index is out of range`
      )
    }))

  it.scopedLive("any text is an id", () =>
    Effect.gen(function*() {
      const { one, other } = yield* twoProcesses(redis)
      const ids = ["42", "a:b", "wait", "%3A", "", "ü \u{1f37a}", "id", "50%"]
      assert.deepStrictEqual(yield* one.offer(ids, { ids }), ids)
      const claims = yield* other.claim(99)
      assert.deepStrictEqual(claims.map(({ id, payload }) => [id, payload]), ids.map((id) => [id, id]))
      for (const claim of claims) yield* other.deadLetter(claim, "no")
      assert.deepStrictEqual((yield* one.deadLetters.list(99)).map(({ id }) => id).sort(), [...ids].sort())
      assert.strictEqual(yield* one.deadLetters.redrive(ids), ids.length)
      for (const claim of yield* one.claim(99)) yield* one.transact(claim, Effect.void, ack)
      assert.deepStrictEqual(yield* Effect.forEach(ids, one.find), ids.map(() => Option.none()))
    }))

  it.scopedLive("jobs that were added to the queue by BullMQ run like any other", () =>
    Effect.gen(function*() {
      const { one, other, prefix } = yield* twoProcesses(redis)
      const connection = new Redis(redis.url)
      const queue = new Queue("queue", { connection, prefix })
      yield* Effect.addFinalizer(() => Effect.promise(() => queue.close().then(() => connection.quit())))
      yield* Effect.promise(() => queue.add("mail", { to: "ada" }))
      yield* Effect.promise(() => queue.add("mail", { to: "bob" }, { jobId: "bob" }))
      const claims = yield* one.claim(9)
      assert.deepStrictEqual(claims.map(({ attempt, id, payload }) => [id, attempt, payload]), [
        ["1", 1, { to: "ada" }],
        ["bob", 1, { to: "bob" }]
      ])
      assert.deepStrictEqual(yield* one.handBack(claims), [])
      for (const claim of yield* other.claim(9)) yield* other.transact(claim, Effect.void, ack)
      assert.strictEqual(yield* one.size, 0)
      assert.deepStrictEqual(yield* Effect.promise(() => connection.keys(`${prefix}:queue:bob*`)), [])
    }))

  it.scopedLive("an offer, a hand-back and a retry wake pools that wait in other processes", () =>
    Effect.gen(function*() {
      const { one, other } = yield* twoProcesses(redis)
      const offered = yield* takeWaiting(other)
      yield* one.offer([1])
      const claim = yield* Fiber.join(offered)
      const handedBack = yield* takeWaiting(one)
      yield* other.handBack([claim])
      const again = yield* Fiber.join(handedBack)
      const retried = yield* takeWaiting(other)
      yield* one.retry(again, { delay: Duration.millis(250), error: "not now" })
      assert.deepInclude(yield* Fiber.join(retried), { id: claim.id, attempt: 2 })
    }))

  it.scopedLive("a released source leaves no connection", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { open } = yield* Scope.extend(source(redis, { prefix: newPrefix() }), scope)
      const queue = yield* Scope.extend(open({ name: "queue" }), scope)
      const [id] = yield* queue.offer(["job"])
      assert.isTrue(Option.isSome(yield* queue.find(id!)))
      const before = yield* connections(redis)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* Effect.repeat(connections(redis), { until: (left) => left < before }), before - 2)
      assert.strictEqual((yield* Effect.flip(queue.size))._tag, "JobSourceError")
    }))

  it.scopedLive("a pool that is closed without time to drain while idle, taking or full hands back every job", () =>
    Effect.gen(function*() {
      const prefix = newPrefix()
      const others = yield* (yield* source(redis, { prefix, lease: "10 seconds" })).open({ name: "closed" })
      const jobs = [1, 2, 3, 4, 5, 6, 7]
      for (const when of ["idle", "taking", "full"]) {
        const scope = yield* Scope.make()
        const full = yield* Effect.makeLatch()
        let running = 0
        const pool = yield* Layer.buildWithScope(
          Closed.layer({
            concurrency: 3,
            drainTimeout: 0,
            process: () =>
              Effect.suspend(() => Effect.zipRight(++running === 3 ? full.open : Effect.void, Effect.never))
          }).pipe(
            Layer.provide(JobSourceRedis.layer({ url: Redacted.make(redis.url), prefix, lease: "10 seconds" })),
            Layer.provide(Logger.remove(Logger.defaultLogger))
          ),
          scope
        )
        if (when !== "idle") yield* Effect.provide(Closed.offerAll(jobs), pool)
        if (when === "full") yield* full.await
        yield* Scope.close(scope, Exit.void)
        if (when === "idle") continue
        const claims: Array<Claim> = []
        while (claims.length < jobs.length) claims.push(yield* take(others))
        assert.deepStrictEqual(claims.map(({ attempt, payload }) => [payload, attempt]), jobs.map((job) => [job, 1]))
        for (const claim of claims) yield* others.transact(claim, Effect.void, ack)
      }
      assert.strictEqual(yield* others.size, 0)
    }))

  it.scopedLive("the end of a job that is awaited after its offer is seen within the poll interval", () =>
    Effect.gen(function*() {
      const { one, other } = yield* twoProcesses(redis, { pollInterval: "50 millis" })
      yield* one.offer(["job"], { ids: ["job"] })
      const waiter = yield* Effect.fork(other.awaitEnd("job"))
      yield* one.transact(yield* take(one), Effect.void, { _tag: "Ack", value: () => ({ sum: 7 }) })
      assert.deepStrictEqual(yield* Fiber.join(waiter), { _tag: "Succeeded", value: Option.some({ sum: 7 }) })
    }))

  const lease = "1 second"
  jobSourceConformance("the source in Redis", {
    make: (world) =>
      Effect.gen(function*() {
        const options = { lease, prefix: newPrefix(), renewWhileBlocked: true, ...world } as const
        const lines: Array<string> = []
        return {
          sources: [yield* source(redis, options), yield* source(redis, options)],
          write: (line) => Effect.sync(() => void lines.push(line)),
          written: Effect.sync(() => lines)
        }
      }),
    lease,
    passTime: Effect.sleep,
    keepsAwaited: false,
    live: true,
    transactional: false
  })
})
