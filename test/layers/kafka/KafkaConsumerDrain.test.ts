import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule, TestClock } from "effect"
import { drained, makeWorld, valueOf } from "./consumerWorld.js"

const letters = (...values: ReadonlyArray<string>) => values.map((value) => [null, value] as const)

describe("The drain of a Kafka consumer", () => {
  it.scoped("fetches nothing more, finishes the records in flight, commits them and leaves the group, in this order", () =>
    Effect.gen(function*() {
      const { finish, gated, kafka, lines, settled, start } = yield* makeWorld
      const app = yield* start({ process: gated, concurrency: 2, order: "key" })
      kafka.append(0, letters("a", "b", "c"))
      yield* kafka.poll
      yield* app.signal("SIGTERM")
      yield* app.until("group", "draining")
      kafka.append(0, letters("d"))
      yield* kafka.poll
      yield* kafka.heartbeat
      yield* finish("a", "b", "c")
      yield* settled
      const report = yield* app.report
      assert.deepStrictEqual(yield* lines, ["0ms a starts", "0ms b starts", "0ms a ends", "0ms b ends"])
      assert.deepStrictEqual(kafka.log, ["resume 0", "pause 0", "commit 0@2", "leave"])
      assert.deepStrictEqual(drained(report), [{ outcome: "Drained", finished: 2, handedBack: 0, cut: 0 }])
    }))

  it.scoped("interrupts what is not done by drainTimeout, and commits below it", () =>
    Effect.gen(function*() {
      const { finish, gated, kafka, lines, settled, start } = yield* makeWorld
      const app = yield* start({ process: gated, order: "key", drainTimeout: "5 seconds" })
      kafka.append(0, letters("a", "b", "c"))
      yield* kafka.poll
      yield* app.signal("SIGTERM")
      yield* app.until("group", "draining")
      yield* finish("a", "c")
      yield* settled
      const report = yield* app.report
      assert.deepStrictEqual((yield* lines).at(-1), "5s b is interrupted")
      assert.deepStrictEqual(kafka.log, ["resume 0", "pause 0", "commit 0@1", "leave"])
      assert.deepStrictEqual(drained(report), [{ outcome: "Interrupted", finished: 2, handedBack: 1, cut: 0 }])
    }))

  it.scoped("hands a record between two attempts back at once", () =>
    Effect.gen(function*() {
      const { kafka, settled, start } = yield* makeWorld
      const app = yield* start({ process: () => Effect.fail("no"), retry: Schedule.spaced("1 hour") })
      kafka.append(0, letters("a"))
      yield* kafka.poll
      yield* settled
      yield* app.signal("SIGTERM")
      const report = yield* app.report
      assert.deepStrictEqual(kafka.log, ["resume 0", "pause 0", "leave"])
      assert.deepStrictEqual(drained(report), [{ outcome: "Drained", finished: 0, handedBack: 1, cut: 0 }])
    }))

  it.scoped("counts finished records as cut when they cannot be committed, and leaves the group all the same", () =>
    Effect.gen(function*() {
      const { kafka, settled, start } = yield* makeWorld
      const app = yield* start({ process: () => Effect.void })
      kafka.answer = "Unavailable"
      kafka.append(0, letters("a", "b"))
      yield* kafka.poll
      yield* settled
      yield* app.signal("SIGTERM")
      yield* app.until("group", "draining")
      const report = yield* app.report
      assert.deepStrictEqual(kafka.log, ["resume 0", "pause 0", "leave"])
      assert.deepStrictEqual(drained(report), [{ outcome: "Interrupted", finished: 0, handedBack: 0, cut: 2 }])
    }))

  it.scoped("joins with everything paused when the group shares out its partitions meanwhile", () =>
    Effect.gen(function*() {
      const { finish, gated, kafka, settled, start } = yield* makeWorld
      const app = yield* start({ process: gated })
      kafka.append(0, letters("a", "b"))
      yield* kafka.poll
      yield* app.signal("SIGTERM")
      yield* app.until("group", "draining")
      const rebalance = yield* Effect.fork(kafka.rebalance([0, 1]))
      yield* settled
      yield* finish("a", "b")
      yield* Fiber.join(rebalance)
      const report = yield* app.report
      assert.deepStrictEqual(kafka.log, ["resume 0", "pause 0", "commit 0@0", "commit 0@1", "pause 0,1", "leave"])
      assert.deepStrictEqual(drained(report), [{ outcome: "Drained", finished: 1, handedBack: 0, cut: 0 }])
    }))
})

describe("A rebalance", () => {
  it.scoped("waits for the records in flight, and commits them before the member joins again", () =>
    Effect.gen(function*() {
      const { finish, gated, kafka, lines, settled, start } = yield* makeWorld
      yield* start({ process: gated }, [0, 1])
      kafka.append(0, letters("a", "b"))
      kafka.append(1, letters("c"))
      yield* kafka.poll
      const rebalance = yield* Effect.fork(kafka.rebalance([0]))
      yield* settled
      yield* TestClock.adjust("3 seconds")
      yield* finish("a", "b", "c")
      yield* Fiber.join(rebalance)
      assert.deepStrictEqual(kafka.log, ["resume 0,1", "commit 0@0 1@0", "commit 0@1 1@1", "resume 0"])
      yield* kafka.poll
      yield* settled
      assert.deepStrictEqual((yield* lines).filter((line) => line.includes("starts")), [
        "0ms a starts",
        "0ms c starts",
        "3s b starts"
      ])
      assert.deepStrictEqual(kafka.stale, [])
    }))

  it.scoped("interrupts what is not done by revocationTimeout, which is delivered again", () =>
    Effect.gen(function*() {
      const { finish, gated, kafka, lines, settled, start } = yield* makeWorld
      yield* start({ process: gated, order: "key", revocationTimeout: "4 seconds" })
      kafka.append(0, letters("a", "b"))
      yield* kafka.poll
      yield* finish("a")
      const rebalance = yield* Effect.fork(kafka.rebalance([0]))
      yield* settled
      yield* TestClock.adjust("4 seconds")
      yield* Fiber.join(rebalance)
      yield* kafka.poll
      yield* settled
      assert.deepStrictEqual(yield* lines, [
        "0ms a starts",
        "0ms b starts",
        "0ms a ends",
        "4s b is interrupted",
        "4s b starts"
      ])
      assert.deepStrictEqual(kafka.stale, [])
    }))

  it.scoped("that takes no offsets delivers nothing again to a member that keeps its partition", () =>
    Effect.gen(function*() {
      const { finish, gated, kafka, lines, logged, settled, start } = yield* makeWorld
      yield* start({ process: gated })
      kafka.append(0, letters("a", "b"))
      yield* kafka.poll
      yield* finish("a")
      yield* settled
      kafka.answer = "Rebalancing"
      const rebalance = yield* Effect.fork(kafka.rebalance([0]))
      yield* settled
      yield* finish("b")
      yield* Fiber.join(rebalance)
      kafka.answer = "accept"
      yield* kafka.poll
      yield* TestClock.adjust("1 second")
      yield* logged("commit 0@2")
      assert.deepStrictEqual(yield* lines, ["0ms a starts", "0ms a ends", "0ms b starts", "0ms b ends"])
    }))

  it.scoped("of a group that has gone on without the member interrupts its records at once, and commits nothing", () =>
    Effect.gen(function*() {
      const { gated, kafka, lines, settled, start } = yield* makeWorld
      yield* start({ process: (record) => valueOf(record) === "a" ? Effect.void : gated(record), order: "key" })
      kafka.append(0, letters("a", "b"))
      yield* kafka.poll
      yield* settled
      yield* kafka.rebalance([1], { lost: true })
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* lines, ["0ms b starts", "0ms b is interrupted"])
      assert.deepStrictEqual(Array.from(kafka.committed), [])
    }))

  it.scoped("frees a partition that was paused for lack of room", () =>
    Effect.gen(function*() {
      const { gated, kafka, settled, start } = yield* makeWorld
      yield* start({ process: gated, maxUncommitted: 1, revocationTimeout: 0 })
      kafka.append(0, letters("a"))
      const poll = yield* Effect.fork(kafka.poll)
      yield* settled
      yield* TestClock.adjust("200 millis")
      yield* Fiber.join(poll)
      assert.deepStrictEqual(Array.from(kafka.paused), [0])
      yield* kafka.rebalance([0])
      assert.deepStrictEqual(Array.from(kafka.paused), [])
    }))
})

describe("A member that the group has not heard of for the session timeout", () => {
  it.scoped("interrupts its records and commits nothing", () =>
    Effect.gen(function*() {
      const { gated, kafka, lines, settled, start } = yield* makeWorld
      yield* start({
        process: (record) => valueOf(record) === "a" ? Effect.void : gated(record),
        order: "key",
        commitInterval: "1 hour"
      })
      kafka.append(0, letters("a", "b"))
      yield* kafka.poll
      yield* settled
      yield* TestClock.adjust("20 seconds")
      yield* kafka.heartbeat
      yield* TestClock.adjust("29 seconds")
      assert.deepStrictEqual(yield* lines, ["0ms b starts"])
      yield* TestClock.adjust("1 second")
      yield* settled
      assert.deepStrictEqual(yield* lines, ["0ms b starts", "50s b is interrupted"])
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(kafka.log, ["resume 0", "pause 0"])
    }))

  it.scoped("goes on where it was if the group had not given it up", () =>
    Effect.gen(function*() {
      const { finish, gated, kafka, lines, logged, settled, start } = yield* makeWorld
      yield* start({ process: gated })
      kafka.append(0, letters("a", "b"))
      yield* kafka.poll
      yield* finish("a")
      yield* settled
      kafka.answer = "Unavailable"
      yield* TestClock.adjust("30 seconds")
      yield* settled
      kafka.answer = "accept"
      yield* kafka.heartbeat
      yield* finish("b")
      yield* kafka.poll
      yield* settled
      yield* TestClock.adjust("1 second")
      yield* logged("commit 0@2")
      assert.deepStrictEqual(yield* lines, [
        "0ms a starts",
        "0ms a ends",
        "0ms b starts",
        "30s b is interrupted",
        "30s b starts",
        "30s b ends"
      ])
    }))
})
