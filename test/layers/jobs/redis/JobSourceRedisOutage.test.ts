import { assert, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Schedule, Scope } from "effect"
import { describeRedisServer, newPrefix } from "../../../kit/redis.js"
import { ack, allFailed, everything, take, takeWaiting } from "../JobSourceWorld.js"
import { source, twoProcesses } from "./JobSourceRedisWorld.js"

describeRedisServer("JobSourceRedis during an outage of the server", (server) => {
  const lease = "400 millis"
  const again = Effect.retry(Schedule.spaced("20 millis"))

  it.scopedLive("every operation fails, and works afterwards with the leases held before", () =>
    Effect.gen(function*() {
      const { one, other } = yield* twoProcesses(server, { lease })
      yield* one.offer(["running", "waiting"])
      const claim = yield* take(one)
      yield* Effect.fork(Effect.forever(Effect.ignore(Effect.delay(one.renew([claim]), "50 millis"))))

      yield* Effect.promise(server.kill)
      assert.deepStrictEqual(yield* everything(one, claim), allFailed)
      const { message } = yield* Effect.flip(one.size)
      assert.include(message, `queue: size failed: Redis at 127.0.0.1:${server.port} is away: `)
      // The lease expires meanwhile.
      yield* Effect.sleep("800 millis")
      yield* Effect.promise(server.start)

      const waiting = yield* again(take(other))
      assert.strictEqual(waiting.payload, "waiting")
      yield* other.transact(waiting, Effect.void, ack)
      yield* Effect.sleep("400 millis")
      assert.deepStrictEqual(yield* other.claim(9), [])
      yield* one.transact(claim, Effect.void, ack)
      // The subscription works again.
      const taken = yield* takeWaiting(other)
      yield* one.offer(["news"])
      assert.strictEqual((yield* Fiber.join(taken)).payload, "news")
    }))

  it.scopedLive("a settlement after the lock has expired succeeds when no other process has the job", () =>
    Effect.gen(function*() {
      const { one } = yield* twoProcesses(server, { lease, expireEvery: "1 hour" })
      yield* one.offer(["job"])
      const claim = yield* take(one)
      yield* Effect.sleep("500 millis")
      yield* one.retry(claim, { delay: Duration.zero, error: "not now" })
      const next = yield* take(one)
      assert.strictEqual(next.attempt, 2)
      yield* Effect.sleep("500 millis")
      assert.deepStrictEqual(yield* one.handBack([next]), [])
      const last = yield* take(one)
      assert.strictEqual(last.attempt, 2)
      yield* Effect.sleep("500 millis")
      yield* one.transact(last, Effect.void, ack)
    }))

  it.scopedLive("a connection to a silent server is closed, and made anew when the server responds", () =>
    Effect.gen(function*() {
      const { one } = yield* twoProcesses(server, { connectTimeout: "300 millis" })
      yield* one.offer(["job"])
      yield* Effect.acquireRelease(Effect.sync(server.freeze), () => Effect.sync(server.thaw))
      assert.strictEqual((yield* Effect.flip(one.size))._tag, "JobSourceError")
      assert.strictEqual((yield* Effect.flip(one.claim(1)))._tag, "JobSourceError")
      server.thaw()
      assert.strictEqual((yield* again(take(one))).attempt, 1)
    }))

  it.scopedLive("a source is released while the server does not respond", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { open } = yield* Scope.extend(source(server, { prefix: newPrefix() }), scope)
      const queue = yield* Scope.extend(open({ name: "frozen" }), scope)
      yield* Effect.acquireRelease(Effect.sync(server.freeze), () => Effect.sync(server.thaw))
      const asked = yield* Effect.fork(Effect.flip(queue.size))
      yield* Effect.sleep("50 millis")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(asked))._tag, "JobSourceError")
    }))
})
