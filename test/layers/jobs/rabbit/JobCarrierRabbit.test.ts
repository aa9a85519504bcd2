import { assert, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { Connection } from "rabbitmq-client"
import { jobCarrierConformance } from "../../../conformance/jobCarrier.js"
import { cuttableProxy } from "../../../kit/cuttableProxy.js"
import { freePort } from "../../../kit/freePort.js"
import { describeRabbit } from "../../../kit/rabbit.js"
import { eventually } from "../../../kit/until.js"
import { carrier, newPrefix } from "./JobCarrierRabbitWorld.js"

describeRabbit("JobCarrierRabbit", (server) => {
  jobCarrierConformance(
    "RabbitMQ",
    Effect.gen(function*() {
      const prefix = newPrefix()
      const client = yield* Effect.acquireRelease(
        Effect.sync(() => new Connection(server.url)),
        (client) => Effect.promise(() => client.close())
      )
      return {
        carriers: [yield* carrier(server, { prefix }), yield* carrier(server, { prefix })],
        loseData: (queue) => Effect.promise(() => client.queueDelete(`${prefix}.${queue}`)),
        add: (queue, payload) =>
          Effect.promise(async () => {
            const publisher = client.createPublisher({ confirm: true })
            await publisher.send({ routingKey: `${prefix}.${queue}`, messageId: "theirs" }, payload)
            await publisher.close()
            return "theirs"
          })
      }
    }),
    { deliversFirst: false, knowsIds: false }
  )

  it.scopedLive("what a lost connection had is delivered to others; until it is made anew, operations fail", () =>
    Effect.gen(function*() {
      const proxy = yield* Effect.acquireRelease(
        Effect.promise(() => cuttableProxy(server.port)),
        (proxy) => Effect.promise(() => proxy.close())
      )
      const options = { prefix: newPrefix(), redeliverAfter: "1 hour" } as const
      const mine = yield* (yield* carrier({ url: server.urlOf(proxy.port) }, options)).open({ name: "jobs" })
      const theirs = yield* (yield* carrier(server, options)).open({ name: "jobs" })
      yield* mine.offer(["a"])
      const lost = yield* mine.receive(1)
      assert.deepStrictEqual(lost.map(({ id }) => id), ["a"])
      proxy.cut()
      const [again] = yield* eventually("it comes again", theirs.receive(1), (deliveries) => deliveries.length > 0)
      assert.strictEqual(again?.id, "a")
      for (const operation of [mine.offer(["b"]), mine.receive(1), mine.ack(lost), mine.holds("a")]) {
        assert.strictEqual((yield* Effect.flip(operation))._tag, "JobSourceError")
      }
      proxy.restore()
      yield* eventually("it is connected", Effect.exit(mine.offer(["b"])), Exit.isSuccess)
      yield* mine.ack(lost)
      yield* theirs.ack([again!])
      assert.deepStrictEqual((yield* mine.receive(9)).map(({ id }) => id), ["b"])
    }))

  it.scopedLive("a queue that was opened uninterruptibly closes at once, and what it has not acknowledged is delivered to others", () =>
    Effect.gen(function*() {
      const options = { prefix: newPrefix(), redeliverAfter: "1 hour" } as const
      const mine = yield* carrier(server, options)
      const theirs = yield* (yield* carrier(server, options)).open({ name: "jobs" })
      const scope = yield* Scope.make()
      const queue = yield* Effect.uninterruptible(Scope.extend(mine.open({ name: "jobs" }), scope))
      yield* queue.offer(["a"])
      yield* queue.receive(1)
      yield* Scope.close(scope, Exit.void)
      const again = yield* eventually("it comes again", theirs.receive(1), (deliveries) => deliveries.length > 0)
      assert.deepStrictEqual(again.map(({ id }) => id), ["a"])
    }))

  it.scopedLive("the first connection fails with a reason that does not show the password", () =>
    Effect.gen(function*() {
      const errorOf = (url: string) => Effect.flip(carrier({ url }, { prefix: newPrefix() }))
      const refused = yield* Effect.promise(freePort)
      const errors = yield* Effect.forEach(
        [
          "redis://me:secret@there",
          `amqp://me:secret@127.0.0.1:${refused}`,
          `amqp://me:secret@127.0.0.1:${server.port}`
        ],
        errorOf
      )
      assert.deepStrictEqual(errors.map(({ reason }) => reason), ["InvalidUrl", "Unreachable", "Unreachable"])
      assert.include(errors[1]!.message, `RabbitMQ at 127.0.0.1:${refused} cannot be reached: connect ECONNREFUSED`)
      assert.include(errors[2]!.message, "ACCESS_REFUSED")
      for (const { message } of errors) assert.notInclude(message, "secret")
    }))
})
