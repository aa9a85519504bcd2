import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Schedule, TestClock } from "effect"
import type { Tracer } from "effect"
import { drained, makeWorld, valueOf } from "./consumerWorld.js"

const letters = (...values: ReadonlyArray<string>) => values.map((value) => [null, value] as const)

describe("A Kafka consumer", () => {
  it.scoped("commits only below the first record that is not finished, in whatever order records finish", () =>
    Effect.gen(function*() {
      const { finish, gated, kafka, settled, start } = yield* makeWorld
      yield* start({ process: gated, order: "key" })
      kafka.append(0, letters("a", "b", "c", "d"))
      yield* kafka.poll
      yield* finish("b", "d")
      yield* settled
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(Array.from(kafka.committed), [])
      yield* finish("a")
      yield* settled
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(Array.from(kafka.committed), [[0, 2n]])
      yield* finish("c")
      yield* settled
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(kafka.log, ["resume 0", "commit 0@2", "commit 0@4"])
    }))

  it.scoped("commits by time, and at once after commitCount records", () =>
    Effect.gen(function*() {
      const { kafka, logged, settled, start } = yield* makeWorld
      yield* start({ process: () => Effect.void, commitCount: 3, commitInterval: "10 seconds" }, [0, 1])
      kafka.append(0, letters("a"))
      kafka.append(1, letters("b"))
      yield* kafka.poll
      yield* settled
      yield* TestClock.adjust("9 seconds")
      assert.deepStrictEqual(kafka.log, ["resume 0,1"])
      yield* TestClock.adjust("1 second")
      yield* logged("commit 0@1 1@1")
      kafka.append(0, letters("c", "d", "e"))
      yield* kafka.poll
      yield* logged("commit 0@4")
    }))

  it.scoped("runs the records of a partition in order, and different partitions at the same time", () =>
    Effect.gen(function*() {
      const { finish, gated, kafka, lines, settled, start } = yield* makeWorld
      yield* start({ process: gated }, [0, 1])
      kafka.append(0, letters("a1", "a2"))
      kafka.append(1, letters("b1", "b2"))
      yield* kafka.poll
      yield* finish("a2", "b1")
      yield* settled
      yield* finish("a1")
      yield* settled
      assert.deepStrictEqual(yield* lines, [
        "0ms a1 starts",
        "0ms b1 starts",
        "0ms b1 ends",
        "0ms b2 starts",
        "0ms a1 ends",
        "0ms a2 starts",
        "0ms a2 ends"
      ])
    }))

  it.scoped("with order key runs the records of a key in order, and different keys at the same time", () =>
    Effect.gen(function*() {
      const { finish, gated, kafka, lines, settled, start } = yield* makeWorld
      yield* start({ process: gated, order: "key" })
      kafka.append(0, [["x", "x1"], ["x", "x2"], ["y", "y1"], [null, "z"]])
      yield* kafka.poll
      yield* finish("z", "y1")
      yield* settled
      yield* finish("x1")
      yield* settled
      assert.deepStrictEqual(yield* lines, [
        "0ms x1 starts",
        "0ms y1 starts",
        "0ms z starts",
        "0ms z ends",
        "0ms y1 ends",
        "0ms x1 ends",
        "0ms x2 starts"
      ])
    }))

  it.scoped("runs at most `concurrency` records, and takes turns between lanes", () =>
    Effect.gen(function*() {
      const { finish, gated, kafka, lines, settled, start } = yield* makeWorld
      yield* start({ process: gated, concurrency: 1 }, [0, 1])
      kafka.append(0, letters("a1", "a2"))
      kafka.append(1, letters("b1"))
      yield* finish("a1", "a2", "b1")
      yield* kafka.poll
      yield* settled
      assert.deepStrictEqual(
        (yield* lines).filter((line) => line.endsWith("starts")),
        ["0ms a1 starts", "0ms b1 starts", "0ms a2 starts"]
      )
    }))

  it.scoped("pauses a partition without room, whose next fetch it holds for a moment, and resumes it at half", () =>
    Effect.gen(function*() {
      const { finish, gated, kafka, settled, start } = yield* makeWorld
      yield* start({ process: gated, order: "key", maxUncommitted: 4 }, [0, 1])
      kafka.append(0, letters("a", "b", "c", "d", "e"))
      kafka.append(1, letters("f"))
      const poll = yield* Effect.fork(kafka.poll)
      yield* settled
      assert.deepStrictEqual(Array.from(kafka.paused), [])
      yield* TestClock.adjust("200 millis")
      yield* Fiber.join(poll)
      assert.deepStrictEqual(Array.from(kafka.paused), [0])
      // Finished above a record that is not: they still count.
      yield* finish("b", "c", "d", "e")
      yield* settled
      assert.deepStrictEqual(Array.from(kafka.paused), [0])
      yield* finish("a")
      yield* settled
      assert.deepStrictEqual(Array.from(kafka.paused), [])
    }))

  it.scoped("does not pause a partition that has room again before the next fetch", () =>
    Effect.gen(function*() {
      const { kafka, start } = yield* makeWorld
      yield* start({ process: () => Effect.void, maxUncommitted: 2 })
      kafka.append(0, letters("a", "b", "c"))
      yield* kafka.pollAll
      assert.deepStrictEqual(kafka.log, ["resume 0"])
    }))

  it.scoped("retries a failing record without holding up other keys, then sends it to the dead letters and commits it", () =>
    Effect.gen(function*() {
      const { kafka, lines, note, settled, start } = yield* makeWorld
      yield* start({
        order: "key",
        concurrency: 1,
        deadLetterTopic: "dead",
        retry: Schedule.intersect(Schedule.spaced("2 seconds"), Schedule.recurs(1)),
        process: (record, { attempt }) =>
          Effect.zipRight(
            note(`${valueOf(record)} ${attempt}`),
            valueOf(record) === "bad" ? Effect.fail(new Error("no such customer")) : Effect.void
          )
      })
      kafka.append(0, [["x", "bad"], ["x", "after bad"], ["y", "good"]])
      yield* kafka.poll
      yield* settled
      yield* TestClock.adjust("2 seconds")
      yield* settled
      assert.deepStrictEqual(yield* lines, ["0ms bad 1", "0ms good 1", "2s bad 2", "2s after bad 1"])
      assert.deepStrictEqual(
        kafka.sent.map(([topic, { headers, key, value }]) => [topic, String(key), String(value), headers]),
        [
          ["dead", "x", "bad", {
            "dead-letter-topic": "orders",
            "dead-letter-partition": "0",
            "dead-letter-offset": "0",
            "dead-letter-timestamp": "0",
            "dead-letter-group": "group",
            "dead-letter-attempts": "2",
            "dead-letter-error": "Error: no such customer"
          }]
        ]
      )
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(Array.from(kafka.committed), [[0, 3n]])
    }))

  it.scoped("sends a permanent failure to the dead letters at once", () =>
    Effect.gen(function*() {
      const { kafka, settled, start } = yield* makeWorld
      yield* start({
        deadLetterTopic: "dead",
        process: () => Effect.fail("typo"),
        permanent: (error) => error === "typo"
      })
      kafka.append(0, letters("a"))
      yield* kafka.poll
      yield* settled
      assert.deepStrictEqual(kafka.sent.map(([topic]) => topic), ["dead"])
    }))

  it.scoped("ends the service when a record fails for good and there is no dead letter topic, and commits nothing above it", () =>
    Effect.gen(function*() {
      const { kafka, start } = yield* makeWorld
      const app = yield* start({
        order: "key",
        retry: Schedule.stop,
        process: (record) => valueOf(record) === "b" ? Effect.fail("no") : Effect.void
      })
      kafka.append(0, letters("a", "b", "c"))
      yield* kafka.poll
      const report = yield* app.report
      assert.strictEqual(
        report.failure,
        "group: the record at offset 1 of orders/0 failed, and there is no dead letter topic: Error: no"
      )
      assert.deepStrictEqual(Array.from(kafka.committed), [[0, 1n]])
      assert.deepStrictEqual(kafka.log.at(-1), "leave")
    }))

  it.scoped("runs a record in a span that is a child of the span in its headers", () =>
    Effect.gen(function*() {
      const { kafka, settled, start } = yield* makeWorld
      const spans: Array<Tracer.Span> = []
      yield* start({ process: () => Effect.map(Effect.currentSpan, (span) => spans.push(span)) })
      kafka.append(0, letters("a"))
      yield* kafka.withHeaders(0, {
        traceparent: Buffer.from("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
      })
      yield* kafka.poll
      yield* settled
      assert.deepStrictEqual(
        spans.map(({ kind, name, parent, traceId }) => [name, kind, traceId, Option.getOrThrow(parent).spanId]),
        [["group.process", "consumer", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"]]
      )
    }))

  it.scoped("tries a commit again while the coordinator is away", () =>
    Effect.gen(function*() {
      const { kafka, logged, settled, start } = yield* makeWorld
      yield* start({ process: () => Effect.void })
      kafka.answer = "Unavailable"
      kafka.append(0, letters("a"))
      yield* kafka.poll
      yield* settled
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(Array.from(kafka.committed), [])
      kafka.answer = "accept"
      yield* TestClock.adjust("1 second")
      yield* logged("commit 0@1")
    }))

  it.scoped("interrupts its records when the driver fails, and goes on at the committed offsets once it has joined again", () =>
    Effect.gen(function*() {
      const { gated, kafka, lines, settled, start } = yield* makeWorld
      yield* start({ process: gated })
      kafka.append(0, letters("a"))
      yield* kafka.poll
      yield* kafka.fail(new Error("the coordinator is away"), true)
      yield* settled
      yield* kafka.rebalance([0], { lost: true })
      yield* kafka.poll
      yield* settled
      assert.deepStrictEqual(yield* lines, ["0ms a starts", "0ms a is interrupted", "0ms a starts"])
      assert.deepStrictEqual(kafka.stale, [])
    }))

  it.scoped("ends the service when the driver gives up", () =>
    Effect.gen(function*() {
      const { kafka, start } = yield* makeWorld
      const app = yield* start({ process: () => Effect.void })
      yield* kafka.fail(new Error("not authorized"), true)
      yield* kafka.fail(new Error("not authorized"), false)
      const report = yield* app.report
      assert.strictEqual(report.failure, "group: the Kafka client failed: not authorized")
      assert.deepStrictEqual(drained(report), [{ outcome: "Drained", finished: 0, handedBack: 0, cut: 0 }])
    }))
})
