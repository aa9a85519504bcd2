// Consumers that are stopped and killed in the middle, with a mock cluster of Kafka.
import { Effect, Layer } from "effect"
import { afterEach, assert, it } from "vitest"
import * as KafkaClient from "../../src/layers/kafka/KafkaClient.js"
import * as KafkaProducer from "../../src/layers/kafka/KafkaProducer.js"
import { Child } from "../kit/child.js"
import { committedOffsets, describeKafka, type KafkaPlace } from "../kit/kafka.js"
import { bundle } from "../kit/programs.js"

const fixture = bundle("test/fixtures/kafka/consume.ts")
const children: Array<Child> = []
afterEach(() => Promise.all(children.splice(0).map((child) => child.end())))

const perPartition = 150
const all = [0, 1, 2, 3].flatMap((partition) =>
  Array.from({ length: perPartition }, (_, offset) => `${partition}@${offset}`)
).sort()

const produce = ({ brokers }: KafkaPlace) =>
  Effect.runPromise(
    Effect.flatMap(KafkaProducer.KafkaProducer, ({ send }) =>
      Effect.forEach([0, 1, 2, 3], (partition) =>
        send(
          "records",
          Array.from(
            { length: perPartition },
            (_, index) => ({ partition, key: `key ${index % 10}`, value: `${index}` })
          )
        ))).pipe(Effect.provide(KafkaProducer.layer().pipe(Layer.provide(KafkaClient.layer({ brokers })))))
  )

const finishedBy = (child: Child) => Array.from(child.output.matchAll(/^finished (\S+)$/gm), ([, record]) => record!)
const start = ({ brokers }: KafkaPlace) => {
  const child = new Child(process.execPath, [fixture], { KAFKA_BROKERS: brokers.join(",") })
  children.push(child)
  return child
}
const has = (child: Child, count: number) =>
  child.waitForValue(`${count} finished records`, () => finishedBy(child).length >= count ? true : null)
const stop = async (child: Child) => {
  child.kill("SIGTERM")
  const { code } = await child.ended
  assert.strictEqual(code, 0, child.output)
}

describeKafka("a consumer that is stopped by SIGTERM in the middle", (kafka) => {
  it("finishes and commits its records in flight: its successor gets every other record, and none of them again", async () => {
    await produce(kafka)
    const first = start(kafka)
    await has(first, 100)
    await stop(first)
    const before = finishedBy(first)
    const committed = await committedOffsets(kafka, "edge", "records")
    assert.strictEqual(committed.reduce((sum, offset) => sum + Math.max(0, offset), 0), before.length, first.output)
    const second = start(kafka)
    await has(second, all.length - before.length)
    await stop(second)
    assert.deepStrictEqual([...before, ...finishedBy(second)].sort(), all)
    assert.deepStrictEqual(await committedOffsets(kafka, "edge", "records"), [150, 150, 150, 150])
  })
})

describeKafka("a consumer that is killed in the middle", (kafka) => {
  it("skips nothing: its successor gets every record that it had not finished", async () => {
    await produce(kafka)
    const first = start(kafka)
    await has(first, 100)
    first.kill("SIGKILL")
    await first.ended
    const before = new Set(finishedBy(first))
    const second = start(kafka)
    await second.waitForValue(
      "the records that were left",
      () => new Set([...before, ...finishedBy(second)]).size === all.length ? true : null
    )
    await stop(second)
    assert.deepStrictEqual([...new Set([...before, ...finishedBy(second)])].sort(), all)
    assert.deepStrictEqual(await committedOffsets(kafka, "edge", "records"), [150, 150, 150, 150])
  })
})
