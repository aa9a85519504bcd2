import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schedule, Scope } from "effect"
import { openDatabase } from "../../../kit/database.js"
import { describePostgresServer } from "../../../kit/postgres.js"
import { ack, allFailed, everything, take, takeWaiting } from "../JobSourceWorld.js"
import { source, twoProcesses } from "./JobSourceSqlWorld.js"

describePostgresServer("JobSourceSql during an outage of the server", (server) => {
  const databases = Effect.all([
    Effect.suspend(() => openDatabase(server.url)),
    Effect.suspend(() => openDatabase(server.url))
  ])
  const again = Effect.retry(Schedule.spaced("50 millis"))

  it.scopedLive("every operation fails, and works afterwards with the leases held before", () =>
    Effect.gen(function*() {
      const { one, other } = yield* twoProcesses(databases, { lease: "1 second", expireEvery: "200 millis" })
      yield* one.offer(["running", "waiting"])
      const claim = yield* take(one)
      yield* Effect.fork(Effect.forever(Effect.ignore(Effect.delay(one.renew([claim]), "250 millis"))))

      yield* Effect.promise(server.kill)
      assert.deepStrictEqual(yield* everything(one, claim), allFailed)
      yield* Effect.sleep("2 seconds")
      yield* Effect.promise(server.start)

      const waiting = yield* again(take(other))
      assert.strictEqual(waiting.payload, "waiting")
      yield* other.transact(waiting, Effect.void, ack)
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(yield* other.claim(9), [])
      yield* one.transact(claim, Effect.void, ack)
      const taken = yield* takeWaiting(other)
      yield* one.offer(["news"])
      assert.strictEqual((yield* Fiber.join(taken)).payload, "news")
    }))

  it.scopedLive("a source is released while the server does not respond", () =>
    Effect.gen(function*() {
      const opened = yield* openDatabase(server.url)
      const scope = yield* Scope.make()
      const { open } = yield* Scope.extend(source(opened, { expireEvery: "10 millis" }), scope)
      const queue = yield* Scope.extend(open({ name: "frozen" }), scope)
      yield* queue.offer(["job"])
      yield* Effect.acquireRelease(Effect.sync(server.freeze), () => Effect.sync(server.thaw))
      // Long enough for the reaper to have sent its statement.
      yield* Effect.sleep("200 millis")
      yield* Scope.close(scope, Exit.void)
      server.thaw()
      assert.strictEqual((yield* queue.claim(1)).length, 1)
    }))
})
