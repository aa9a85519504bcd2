import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule, TestClock } from "effect"
import type { KafkaRecord } from "../../../src/layers/kafka/KafkaClient.js"
import * as KafkaConsumer from "../../../src/layers/kafka/KafkaConsumer.js"
import { drained, makeWorld, valueOf } from "./consumerWorld.js"

type Records = readonly [KafkaRecord, ...Array<KafkaRecord>]

const letters = (...values: ReadonlyArray<string>) => values.map((value) => [null, value] as const)
const namesOf = (records: Records) => records.map(valueOf).join("")
const retryOnce = Schedule.intersect(Schedule.spaced("2 seconds"), Schedule.recurs(1))

describe("A Kafka consumer with processBatch", () => {
  it.scoped("gets the records of a partition in order, at most batchSize together, and commits behind whole batches", () =>
    Effect.gen(function*() {
      const { finish, kafka, lines, logged, note, settled, start, latch } = yield* makeWorld
      yield* start({
        batchSize: 2,
        processBatch: (records) => Effect.zipRight(note(namesOf(records)), latch(namesOf(records)).await)
      }, [0, 1])
      kafka.append(0, letters("a", "b", "c"))
      kafka.append(1, letters("x"))
      yield* kafka.poll
      yield* settled
      assert.deepStrictEqual(yield* lines, ["0ms ab", "0ms x"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(kafka.log, ["resume 0,1"])
      yield* finish("ab")
      yield* settled
      yield* TestClock.adjust("1 second")
      yield* logged("commit 0@2")
      yield* finish("c", "x")
      yield* settled
      yield* TestClock.adjust("1 second")
      yield* logged("commit 0@3 1@1")
      assert.deepStrictEqual(yield* lines, ["0ms ab", "0ms x", "1s c"])
    }))

  it.scoped("runs each record of a batch that failed alone and in order, with its retries, then sends it to the dead letters", () =>
    Effect.gen(function*() {
      const { kafka, lines, note, settled, start } = yield* makeWorld
      yield* start({
        deadLetterTopic: "dead",
        retry: retryOnce,
        processBatch: (records, { attempt }) =>
          Effect.zipRight(
            note(`${namesOf(records)} ${attempt}`),
            namesOf(records).includes("b") ? Effect.fail("no") : Effect.void
          )
      })
      kafka.append(0, letters("a", "b", "c", "d"))
      yield* kafka.poll
      yield* settled
      kafka.append(0, letters("e", "f"))
      yield* kafka.poll
      yield* TestClock.adjust("2 seconds")
      yield* settled
      assert.deepStrictEqual(yield* lines, [
        "0ms abcd 1",
        "0ms a 1",
        "0ms b 1",
        "2s b 2",
        "2s c 1",
        "2s d 1",
        "2s ef 1"
      ])
      assert.deepStrictEqual(
        kafka.sent.map(([topic, { headers, value }]) => [topic, String(value), headers!["dead-letter-attempts"]]),
        [["dead", "b", "2"]]
      )
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(Array.from(kafka.committed), [[0, 6n]])
    }))

  it.scoped("runs only the record alone that a BatchError names: those before it are done, those behind it go on in batches", () =>
    Effect.gen(function*() {
      const { kafka, lines, logged, note, settled, start } = yield* makeWorld
      yield* start({
        retry: retryOnce,
        processBatch: (records, { attempt }) => {
          const bad = records.find((record) => valueOf(record) === "b" && attempt === 1)
          return Effect.zipRight(
            note(`${namesOf(records)} ${attempt}`),
            bad === undefined ? Effect.void : new KafkaConsumer.BatchError({ offset: bad.offset, error: "no" })
          )
        }
      })
      kafka.append(0, letters("a", "b", "c", "d"))
      yield* kafka.poll
      yield* settled
      yield* TestClock.adjust("1 second")
      yield* logged("commit 0@1")
      yield* TestClock.adjust("1 second")
      yield* settled
      assert.deepStrictEqual(yield* lines, ["0ms abcd 1", "2s b 2", "2s cd 1"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(Array.from(kafka.committed), [[0, 4n]])
    }))

  it.scoped("asks about the error in a BatchError whether it is permanent", () =>
    Effect.gen(function*() {
      const { kafka, settled, start } = yield* makeWorld
      yield* start({
        deadLetterTopic: "dead",
        permanent: (error) => error === "typo",
        processBatch: ([{ offset }]) =>
          offset === 0n ? new KafkaConsumer.BatchError({ offset, error: "typo" }) : Effect.void
      })
      kafka.append(0, letters("a", "b"))
      yield* kafka.poll
      yield* settled
      assert.deepStrictEqual(kafka.sent.map(([, { headers }]) => headers!["dead-letter-error"]), ["Error: typo"])
    }))

  it.scoped("finishes the batch in flight in a drain, and starts none", () =>
    Effect.gen(function*() {
      const { finish, kafka, latch, settled, start } = yield* makeWorld
      const app = yield* start({ batchSize: 2, processBatch: (records) => latch(namesOf(records)).await })
      kafka.append(0, letters("a", "b", "c"))
      yield* kafka.poll
      yield* settled
      yield* app.signal("SIGTERM")
      yield* app.until("group", "draining")
      yield* finish("ab")
      const report = yield* app.report
      assert.deepStrictEqual(kafka.log, ["resume 0", "pause 0", "commit 0@2", "leave"])
      assert.deepStrictEqual(drained(report), [{ outcome: "Drained", finished: 2, handedBack: 0, cut: 0 }])
    }))

  it.scoped("interrupts a batch that is not done by drainTimeout, and leaves it uncommitted", () =>
    Effect.gen(function*() {
      const { kafka, lines, note, settled, start } = yield* makeWorld
      const app = yield* start({
        drainTimeout: "5 seconds",
        processBatch: (records) => Effect.onInterrupt(Effect.never, () => note(`${namesOf(records)} is interrupted`))
      })
      kafka.append(0, letters("a", "b", "c"))
      yield* kafka.poll
      yield* settled
      yield* app.signal("SIGTERM")
      const report = yield* app.report
      assert.deepStrictEqual(yield* lines, ["5s abc is interrupted"])
      assert.deepStrictEqual(kafka.log, ["resume 0", "pause 0", "leave"])
      assert.deepStrictEqual(drained(report), [{ outcome: "Interrupted", finished: 0, handedBack: 3, cut: 0 }])
    }))

  it.scoped("interrupts a batch when a rebalance takes its partition, and gets it again", () =>
    Effect.gen(function*() {
      const { kafka, lines, note, settled, start } = yield* makeWorld
      yield* start({
        revocationTimeout: "4 seconds",
        processBatch: (records) => Effect.zipRight(note(namesOf(records)), Effect.never)
      })
      kafka.append(0, letters("a", "b"))
      yield* kafka.poll
      const rebalance = yield* Effect.fork(kafka.rebalance([0]))
      yield* settled
      yield* TestClock.adjust("4 seconds")
      yield* Fiber.join(rebalance)
      yield* kafka.poll
      yield* settled
      assert.deepStrictEqual(yield* lines, ["0ms ab", "4s ab"])
      assert.deepStrictEqual(kafka.stale, [])
    }))

  it("has either process or processBatch", () => {
    const options = { groupId: "group", topics: ["orders"], concurrency: 1 }
    const process = () => Effect.void
    // @ts-expect-error both
    KafkaConsumer.layer({ ...options, process, processBatch: process })
    // @ts-expect-error neither
    KafkaConsumer.layer(options)
    // @ts-expect-error batches are of a partition
    KafkaConsumer.layer({ ...options, processBatch: process, order: "key" })
  })
})
