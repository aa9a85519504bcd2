import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, TestClock } from "effect"
import { endedMessageOf, makeJobEnds } from "../../../src/layers/jobs/internal/jobEnds.js"
import { type JobEnd, JobSourceError } from "../../../src/layers/jobs/JobSource.js"

const gone: JobEnd = { _tag: "Gone" }

/** A queue whose ends the test sets, and which notes when which jobs are looked at. */
const makeQueue = Effect.gen(function*() {
  const ends = new Map<string, JobEnd>()
  const looks: Array<string> = []
  const state = { away: false, slow: false }
  const jobEnds = yield* Effect.withRandomFixed(makeJobEnds(Duration.seconds(2)), [0.5])
  const awaitEnd = jobEnds.open({
    name: "queue",
    read: (ids) =>
      Effect.gen(function*() {
        looks.push(`${(yield* Effect.clock).unsafeCurrentTimeMillis() / 1_000}s ${ids.join(" ")}`)
        if (state.away) return yield* new JobSourceError({ operation: "awaitEnd", queue: "queue", cause: "away" })
        const found = new Map(ids.flatMap((id) => ends.has(id) ? [[id, Exit.succeed(ends.get(id)!)]] : []))
        if (state.slow) yield* Effect.sleep("1 second")
        return found
      })
  })
  return { awaitEnd, ends, jobEnds, looks, state }
})

describe("Those who wait for the ends of jobs", () => {
  it.scoped("are looked at together: when they begin, at their message, and in each poll interval while there are any", () =>
    Effect.gen(function*() {
      const { awaitEnd, ends, jobEnds, looks } = yield* makeQueue
      yield* TestClock.adjust("10 seconds")
      const waiters = yield* Effect.forEach(["a", "b", "a", "c"], (id) => Effect.fork(awaitEnd(id)))
      yield* TestClock.adjust("1 second")
      ends.set("a", gone)
      jobEnds.receive(endedMessageOf("queue", "a"))
      jobEnds.receive(endedMessageOf("queue", "unknown"))
      jobEnds.receive(endedMessageOf("other", "b"))
      yield* TestClock.adjust("1 second")
      ends.set("b", gone)
      yield* TestClock.adjust("1 second")
      jobEnds.receive("")
      ends.set("c", gone)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.joinAll(waiters)
      assert.deepStrictEqual(looks, ["10s a b c", "11s a", "12s b c", "13s b c"])
    }))

  it.scoped("are looked at again when a message arrives while they are", () =>
    Effect.gen(function*() {
      const { awaitEnd, ends, jobEnds, looks, state } = yield* makeQueue
      state.slow = true
      const waiter = yield* Effect.fork(awaitEnd("a"))
      yield* TestClock.adjust("500 millis")
      ends.set("a", gone)
      jobEnds.receive(endedMessageOf("queue", "a"))
      yield* TestClock.adjust("1500 millis")
      assert.deepStrictEqual([yield* Fiber.join(waiter), looks], [gone, ["0s a", "1s a"]])
    }))

  it.scoped("go on waiting while the engine is away, and are not looked at any more once they are interrupted", () =>
    Effect.gen(function*() {
      const { awaitEnd, ends, looks, state } = yield* makeQueue
      state.away = true
      const waiter = yield* Effect.fork(awaitEnd("a"))
      const other = yield* Effect.fork(awaitEnd("b"))
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.interrupt(other)
      state.away = false
      ends.set("a", gone)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([yield* Fiber.join(waiter), looks], [gone, ["0s a b", "2s a b", "4s a"]])
    }))
})
