import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schedule, TestClock } from "effect"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}

const letters = ["a", "b", "c", "d", "e"]

type Process = WorkerPool.Options<string, unknown, string, never>["process"]

/** A pool that begins two jobs in ten seconds. */
const makePool = (
  options: Parameters<typeof makeWorld>[0],
  process: (note: (what: string) => Effect.Effect<void>) => Process
) =>
  Effect.gen(function*() {
    const world = yield* makeWorld(options)
    const rateLimit = { limit: 2, interval: "10 seconds" } as const
    const retry = Schedule.spaced("1 second")
    const pool = yield* world.build(Letters.layer({ concurrency: 3, rateLimit, retry, process: process(world.note) }))
    return { ...world, ...pool }
  })

describe("A pool with a rate limit", () => {
  it.scoped("begins no more jobs than that in any time of this length, retries included", () =>
    Effect.gen(function*() {
      const { context, entries } = yield* makePool({ durable: true }, (note) => (letter, { attempt }) =>
        Effect.zipRight(
          note(letter),
          letter === "a" && attempt === 1 ? Effect.fail("bad luck") : Effect.void
        ))
      yield* Effect.provide(Letters.offer("a"), context)
      yield* TestClock.adjust("8 seconds")
      yield* Effect.provide(Letters.offerAll(["b", "c", "d"]), context)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(entries, ["0s a", "1s a", "10s b", "11s c", "20s d"])
    }))

  it.scoped("holds no claimed jobs meanwhile: a drain over a durable source waits only for those that run", () =>
    Effect.gen(function*() {
      const { context, entries, open, reports, stop } = yield* makePool(
        { durable: true },
        (note) => (letter) => Effect.zipRight(Effect.sleep("3 seconds"), note(letter))
      )
      yield* Effect.provide(Letters.offerAll(letters), context)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Effect.provide(Letters.status, context)).inFlight, 2)
      const { depth } = yield* open("letters")
      assert.strictEqual((yield* depth).jobs.Waiting.count, 3)
      const stopped = yield* Effect.fork(stop)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(stopped)
      assert.deepStrictEqual([...entries].sort(), ["3s a", "3s b"])
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 2, handedBack: 0, cut: 0 }
      ])
      assert.strictEqual((yield* depth).jobs.Waiting.count, 3)
    }))

  it.scoped("keeps to it while a pool over memory empties its queue, and ends with the last job", () =>
    Effect.gen(function*() {
      const { context, entries, reports, stop } = yield* makePool({}, (note) => note)
      yield* Effect.provide(Letters.offerAll(letters), context)
      yield* TestClock.adjust("1 second")
      const stopped = yield* Effect.fork(stop)
      yield* TestClock.adjust("19 seconds")
      yield* Fiber.join(stopped)
      assert.deepStrictEqual(entries, ["0s a", "0s b", "10s c", "10s d", "20s e"])
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 3, handedBack: 0, cut: 0 }
      ])
    }))

  it.scoped("counts as cut what the limit leaves in memory when the time of the drain is over", () =>
    Effect.gen(function*() {
      const { context, entries, reports, stop } = yield* makePool(
        { shutdown: { gracePeriod: "30 seconds" } },
        (note) => note
      )
      yield* Effect.provide(Letters.offerAll([...letters, "f", "g", "h", "i"]), context)
      yield* TestClock.adjust("1 second")
      const stopped = yield* Effect.fork(stop)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(stopped)
      const [report] = yield* reports
      assert.strictEqual(report!.outcome, "Interrupted")
      // Two have ended before the drain.
      assert.deepStrictEqual([entries.length, report!.finished, report!.cut], [6, 4, 3])
    }))

  it.scoped("is paused and resumed as any other", () =>
    Effect.gen(function*() {
      const { context, entries } = yield* makePool({ durable: true }, (note) => note)
      yield* Effect.provide(Letters.offerAll(letters), context)
      yield* TestClock.adjust("5 seconds")
      yield* Effect.provide(Letters.pause("Process"), context)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(entries, ["0s a", "0s b"])
      yield* Effect.provide(Letters.resume("Process"), context)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(entries, ["0s a", "0s b", "15s c", "15s d", "25s e"])
    }))

  it.scoped("is refused with a limit of none, and with an interval that has no length", () =>
    Effect.gen(function*() {
      const { build } = yield* makeWorld()
      const why = (rateLimit: WorkerPool.RateLimit) =>
        Effect.map(
          Effect.exit(build(Letters.layer({ concurrency: 1, rateLimit, process: () => Effect.void }))),
          (exit) => Exit.isFailure(exit) ? /letters: .*/.exec(String(exit))?.[0] : undefined
        )
      assert.match(
        String(yield* why({ limit: 0, interval: "1 second" })),
        /letters: rateLimit.limit is 0, and must be an integer of at least 1/
      )
      assert.match(
        String(yield* why({ limit: 1, interval: 0 })),
        /letters: rateLimit.interval is 0, and must be a finite duration above zero/
      )
    }))
})
