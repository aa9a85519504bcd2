// A member whose connection to the broker breaks while it joins its group again.
import { Effect, Layer } from "effect"
import { Kafka } from "kafkajs"
import * as Net from "node:net"
import { assert, it } from "vitest"
import * as KafkaClient from "../../src/layers/kafka/KafkaClient.js"
import * as KafkaConsumer from "../../src/layers/kafka/KafkaConsumer.js"
import * as KafkaProducer from "../../src/layers/kafka/KafkaProducer.js"
import { describeKafka, type KafkaPlace } from "../kit/kafka.js"
import { type Fate, kafkaProxy, type KafkaResponse } from "../kit/kafkaProxy.js"
import { poll } from "../kit/until.js"

const apis = { JoinGroup: 11, Heartbeat: 12, SyncGroup: 14 }
const errors = { UNKNOWN_MEMBER_ID: 25, REBALANCE_IN_PROGRESS: 27 }
/** That of a heartbeat: behind the size, the id of the request and the throttle time. */
const errorAt = 12

const send = ({ brokers }: KafkaPlace, groupId: string, value: string) =>
  Effect.runPromise(
    Effect.flatMap(KafkaProducer.KafkaProducer, ({ send }) => send(groupId, [{ partition: 0, value }])).pipe(
      Effect.provide(KafkaProducer.layer().pipe(Layer.provide(KafkaClient.layer({ brokers }))))
    )
  )

/** The next heartbeat is refused, and then the connection meets its fate at the first response to such a request. */
const breakAt = (lost: keyof typeof apis, fate: Fate, heartbeat: keyof typeof errors) => {
  let state: "quiet" | "refuse" | "break" | "over" = "quiet"
  return {
    begin: () => void (state = "refuse"),
    isOver: () => state === "over",
    fateOf: ({ api, frame }: KafkaResponse): Fate => {
      if (state === "refuse" && api === apis.Heartbeat) {
        frame.writeInt16BE(errors[heartbeat], errorAt)
        state = "break"
      } else if (state === "break" && api === apis[lost]) {
        state = "over"
        return fate
      }
      return "pass"
    }
  }
}

describeKafka("a member whose connection breaks while it joins again", (kafka) => {
  const cases = [
    ["JoinGroup", "break", "UNKNOWN_MEMBER_ID"],
    ["SyncGroup", "break", "REBALANCE_IN_PROGRESS"],
    ["SyncGroup", "hush", "REBALANCE_IN_PROGRESS"]
  ] as const
  it.concurrent.for(cases)("joins once more: %s, %s, after %s", async ([lost, fate, heartbeat]) => {
    const fault = breakAt(lost, fate, heartbeat)
    const proxy = await kafkaProxy(Number(kafka.brokers[0]!.split(":").at(-1)), fault.fateOf)
    const groupId = `${lost}-${fate}`
    const client = new Kafka({
      brokers: [...kafka.brokers],
      logLevel: 0,
      requestTimeout: 1_000,
      socketFactory: ({ onConnect }) => Net.connect(proxy.port, "127.0.0.1", onConnect)
    })
    const values: Array<string> = []
    const Consumer = KafkaConsumer.layer({
      groupId,
      topics: [groupId],
      concurrency: 1,
      sessionTimeout: "4 seconds",
      revocationTimeout: "1 second",
      commitInterval: "100 millis",
      process: ({ value }) => Effect.sync(() => void values.push(String(value)))
    }).pipe(Layer.provide(KafkaClient.fromKafka(client)))
    const consumed = (count: number) => poll(`${count} records`, async () => values.length >= count ? true : undefined)
    await send(kafka, groupId, "before")
    await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
      yield* Layer.build(Consumer)
      yield* Effect.promise(() => consumed(1))
      fault.begin()
      yield* Effect.promise(() => poll("the connection is broken", async () => fault.isOver() ? true : undefined))
      yield* Effect.promise(() => send(kafka, groupId, "after"))
      yield* Effect.promise(() => consumed(2))
    })))
    await proxy.close()
    assert.deepStrictEqual([...new Set(values)], ["before", "after"])
  })
})
