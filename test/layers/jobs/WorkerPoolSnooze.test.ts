import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, TestClock } from "effect"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { makeJournal, makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string, number>() {}

describe("A job that snoozes", () => {
  it.scoped("runs again after the delay, as often as it likes, with its attempt kept, and is interrupted meanwhile", () =>
    Effect.gen(function*() {
      const { build, entries, note } = yield* makeWorld()
      const journal = makeJournal()
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 1,
        onEvent: journal.onEvent,
        process: (_, { attempt, cursor, snooze }) => {
          const turn = Option.getOrElse(cursor, () => 0)
          return turn === 7
            ? note(`attempt ${attempt}, turn ${turn}`)
            : Effect.zipRight(snooze("1 minute", { cursor: turn + 1 }), note("not interrupted"))
        }
      }))
      yield* Letters.offer("a", { id: "a" }).pipe(Effect.provide(context))
      yield* TestClock.adjust("10 minutes")
      yield* stop
      assert.deepStrictEqual(entries, ["420s attempt 1, turn 7"])
      const turns = Array.from({ length: 7 }, (_, n) => [`${n * 60}s Started a#1`, `${n * 60}s Snoozed a#1`]).flat()
      assert.deepStrictEqual(journal.lines, [
        "0s Offered a",
        ...turns,
        "420s Started a#1",
        "420s Succeeded a#1",
        "600s Quiesced",
        "600s Closed"
      ])
    }))

  it.scoped("is no concern of a drain over a durable source: another process runs it when its time has come", () =>
    Effect.gen(function*() {
      const { build, entries, lifecycle, note, reports } = yield* makeWorld({ durable: true })
      const layer = Letters.layer({
        concurrency: 1,
        process: (_, { attempt, cursor, draining, snooze }) =>
          Option.isSome(cursor)
            ? note(`attempt ${attempt} from ${cursor.value}`)
            : Effect.zipRight(draining, Effect.orDie(snooze("1 minute", { cursor: 3 })))
      })
      const { context, stop } = yield* build(layer)
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* TestClock.adjust("1 second")
      yield* lifecycle.transition("LameDuck")
      yield* stop
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Drained", finished: 1, handedBack: 0, cut: 0 }
      ])
      const next = yield* makeWorld()
      yield* build(layer, next.lifecycle.shutdown)
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(entries, ["61s attempt 1 from 3"])
    }))

  it.scoped("is waited for by a drain over memory, and counts as cut when the drain is shorter", () =>
    Effect.gen(function*() {
      const { build, entries, note, reports } = yield* makeWorld()
      const { context, stop } = yield* build(Letters.layer({
        concurrency: 2,
        drainTimeout: "20 seconds",
        process: (letter, { cursor, snooze }) =>
          Option.isSome(cursor) ? note(letter) : snooze(letter === "soon" ? "15 seconds" : "40 seconds", { cursor: 1 })
      }))
      yield* Letters.offerAll(["soon", "late"]).pipe(Effect.provide(context))
      yield* TestClock.adjust("1 second")
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, ["15s soon"])
      assert.deepStrictEqual(yield* reports, [
        { name: "letters", outcome: "Interrupted", finished: 1, handedBack: 0, cut: 1 }
      ])
    }))

  it.scoped("fails like any other when its lease was lost, and is not interrupted by it", () =>
    Effect.gen(function*() {
      const { build, entries, note, open } = yield* makeWorld({ durable: true, lease: "4 seconds" })
      const { context } = yield* build(Letters.layer({
        concurrency: 1,
        process: (_, { id, snooze }) =>
          Effect.gen(function*() {
            const queue = yield* Effect.scoped(open("letters"))
            const lost = yield* queue.handBack([{
              id,
              token: "1",
              payload: "a",
              attempt: 1,
              cursor: Option.none(),
              orphan: false
            }])
            const error = yield* Effect.flip(snooze("1 minute"))
            yield* note(`${lost.length} ${error._tag}`)
            return yield* Effect.never
          })
      }))
      yield* Letters.offer("a").pipe(Effect.provide(context))
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual(entries, ["0s 0 LeaseLost"])
    }))
})
