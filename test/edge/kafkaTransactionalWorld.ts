import { Effect, Layer } from "effect"
import { afterEach, assert } from "vitest"
import * as KafkaClient from "../../src/layers/kafka/KafkaClient.js"
import * as KafkaProducer from "../../src/layers/kafka/KafkaProducer.js"
import { Child } from "../kit/child.js"
import type { KafkaPlace } from "../kit/kafka.js"
import type { Postgres } from "../kit/postgres.js"
import { bundle } from "../kit/programs.js"
import { poll } from "../kit/until.js"

const fixture = bundle("test/fixtures/kafka/consumeTransactional.ts")
const partitions = [0, 1, 2, 3]
const keys = 5

/** A row that a consumer has written. */
export interface Row {
  readonly partition: number
  readonly offset: number
  readonly key: string
}
export const nameOf = ({ offset, partition }: Pick<Row, "offset" | "partition">) =>
  `${partition}@${String(offset).padStart(4, "0")}`

/** Consumers that write each record into PostgreSQL, and end with their test. */
export const makeWorld = (kafka: KafkaPlace, postgres: Postgres, perPartition: number) => {
  const children: Array<Child> = []
  afterEach(() => Promise.all(children.splice(0).map((child) => child.end())))
  const finishedBy = (child: Child) => Array.from(child.output.matchAll(/^finished (\S+)$/gm)).length
  const effects = async () => (await postgres.query(`SELECT * FROM effects ORDER BY id`)) as never as Array<Row>
  const all = partitions.flatMap((partition) =>
    Array.from({ length: perPartition }, (_, offset) => nameOf({ partition, offset }))
  )
  return {
    /** Makes the table, and sends the same number of records to each partition. */
    produce: async (valueOf: (partition: number, offset: number) => string = () => "good") => {
      await postgres.query(`CREATE TABLE effects (id serial, partition int, "offset" int, key text)`)
      const records = (partition: number) =>
        Array.from({ length: perPartition }, (_, offset) => ({
          partition,
          key: `${partition}/${offset % keys}`,
          value: valueOf(partition, offset)
        }))
      await Effect.runPromise(
        Effect.flatMap(
          KafkaProducer.KafkaProducer,
          ({ send }) => Effect.forEach(partitions, (partition) => send("records", records(partition)))
        ).pipe(
          Effect.provide(
            KafkaProducer.layer().pipe(Layer.provide(KafkaClient.layer({ brokers: kafka.brokers })))
          )
        )
      )
    },
    start: () => {
      const child = new Child(process.execPath, [fixture], {
        KAFKA_BROKERS: kafka.brokers.join(","),
        DATABASE_URL: postgres.url
      })
      children.push(child)
      return child
    },
    has: (child: Child, count: number) =>
      child.waitForValue(`${count} finished records`, () => finishedBy(child) >= count ? true : null),
    untilEffects: (count: number) =>
      poll(`${count} effects`, async () => (await effects()).length >= count ? true : undefined),
    stop: async (child: Child) => {
      child.kill("SIGTERM")
      const { code } = await child.ended
      assert.strictEqual(code, 0, child.output)
    },
    /** Each record but these has one effect, and those of a key are in order. */
    assertOnce: async (...except: ReadonlyArray<string>) => {
      const rows = await effects()
      assert.deepStrictEqual(rows.map(nameOf).sort(), all.filter((name) => !except.includes(name)))
      const last = new Map<string, number>()
      for (const { key, offset } of rows) {
        assert.isAbove(offset, last.get(key) ?? -1, `key ${key} is out of order`)
        last.set(key, offset)
      }
    },
    count: all.length
  }
}
