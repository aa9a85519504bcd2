import { assert, it } from "@effect/vitest"
import { jetstreamManager } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import { Duration, Effect } from "effect"
import { jobCarrierConformance } from "../../../conformance/jobCarrier.js"
import { cuttableProxy } from "../../../kit/cuttableProxy.js"
import { describeNats } from "../../../kit/nats.js"
import { carrier, newPrefix } from "./JobCarrierNatsWorld.js"

describeNats("JobCarrierNats", (server) => {
  jobCarrierConformance(
    "NATS",
    Effect.gen(function*() {
      const prefix = newPrefix()
      const client = yield* Effect.acquireRelease(
        Effect.promise(() => connect({ servers: server.url })),
        (client) => Effect.promise(() => client.close())
      )
      return {
        carriers: [yield* carrier(server, { prefix }), yield* carrier(server, { prefix })],
        loseData: () =>
          Effect.promise(async () => {
            await (await jetstreamManager(client)).streams.delete(prefix)
          }),
        add: (queue, payload) =>
          Effect.promise(async () => {
            await client.request(`${prefix}.${queue}.theirs`, JSON.stringify(payload))
            return "theirs"
          })
      }
    }),
    { deliversFirst: false, tellsDeliveriesApart: false }
  )

  it.scopedLive("a receive leaves no subscription behind, whether it gets something or nothing", () =>
    Effect.gen(function*() {
      let sent = ""
      const url = new URL(server.url)
      const proxy = yield* Effect.acquireRelease(
        Effect.promise(() =>
          cuttableProxy(Number(url.port), (text) => {
            sent += text
            return text
          })
        ),
        (proxy) => Effect.promise(proxy.close)
      )
      url.port = String(proxy.port)
      const queue = yield* Effect.flatMap(
        carrier({ url: url.href }, { prefix: newPrefix() }),
        (carrier) => carrier.open({ name: "subscriptions" })
      )
      yield* queue.offer(["a", "b"])
      const open = () => sent.split(/^SUB /m).length - sent.split(/^UNSUB /m).length
      const before = open()
      const sizes: Array<number> = []
      for (const limit of [1, 9, 9]) {
        const deliveries = yield* queue.receive(limit)
        sizes.push(deliveries.length)
        yield* queue.ack(deliveries)
      }
      // What the client has sent has reached the server when that answers.
      yield* queue.holds("a")
      assert.deepStrictEqual(sizes, [1, 1, 0])
      // The client has one subscription for the answers to all of its requests.
      assert.isAtMost(open() - before, 1)
    }))

  it.scopedLive("a server that drops a pull without an answer costs half a second, and no job", () =>
    Effect.gen(function*() {
      const prefix = newPrefix()
      const url = new URL(server.url)
      let dropped = 0
      // A subject of the same length, on which nobody answers.
      const proxy = yield* Effect.acquireRelease(
        Effect.promise(() =>
          cuttableProxy(
            Number(url.port),
            (sent) =>
              sent.replace(
                "PUB $JS.API.CONSUMER.MSG.NEXT",
                (pull) => dropped++ === 0 ? pull.replace("$JS", "$NO") : pull
              )
          )
        ),
        (proxy) => Effect.promise(proxy.close)
      )
      const silent = yield* Effect.acquireRelease(
        Effect.promise(() => connect({ servers: server.url })),
        (client) => Effect.promise(() => client.close())
      )
      silent.subscribe("$NO.>")
      yield* Effect.promise(() => silent.flush())
      url.port = String(proxy.port)
      const queue = yield* Effect.flatMap(
        carrier({ url: url.href }, { prefix }),
        (carrier) => carrier.open({ name: "dropped" })
      )
      yield* queue.offer(["a"])
      const [elapsed, none] = yield* Effect.timed(queue.receive(9))
      assert.deepStrictEqual(none, [])
      assert.isBelow(Duration.toMillis(elapsed), 4_000)
      // It looks again at once.
      yield* queue.wait
      const again = yield* queue.receive(9)
      assert.deepStrictEqual(again.map(({ id }) => id), ["a"])
    }))
})
