import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, TestClock } from "effect"
import type { BatchContext, BatchJob } from "../../../src/layers/jobs/JobBatch.js"
import type { JobQueue } from "../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { until } from "../../kit/until.js"
import { makeJournal, makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}

type Letter = BatchJob<string>
type Process = (
  letters: readonly [Letter, ...Array<Letter>],
  batch: BatchContext<string>,
  note: (what: string) => Effect.Effect<void>
) => Effect.Effect<unknown, unknown>

/** Renews no lease of these jobs, and does not say that they are lost, as a pool does not know yet whose event loop was blocked. */
const unrenewed = (...ids: ReadonlyArray<string>) => (queue: JobQueue): JobQueue => ({
  ...queue,
  renew: (claims) => queue.renew(claims.filter(({ id }) => !ids.includes(id)))
})

/** Runs a batch of two letters, of which another process claims some before it ends. */
const losing = (lost: ReadonlyArray<string>, process: Process) =>
  Effect.gen(function*() {
    const { lines, onEvent } = makeJournal()
    const world = yield* makeWorld({ durable: true, lease: "10 seconds", wrap: unrenewed(...lost) })
    const { entries, note, open, scoped } = world
    const opened = yield* Deferred.make<void>()
    const context = yield* scoped(Letters.layerBatched({
      concurrency: 1,
      batchSize: 9,
      onEvent,
      processAll: (letters, batch) => Effect.zipRight(Deferred.await(opened), process(letters, batch, note))
    }))
    const theirs = yield* open("letters")
    const ended = (count: number) =>
      until(
        `${count} runs have ended`,
        Effect.sync(() => lines.filter((line) => /Succeeded|LeaseLost/.test(line)).length),
        (n) => n === count
      )
    return yield* Effect.gen(function*() {
      yield* Letters.offerAll(["a", "b"], { ids: ["a", "b"] })
      yield* until("both run", Effect.map(Letters.status, (_) => _.inFlight), (n) => n === 2)
      yield* TestClock.adjust("11 seconds")
      const claims = [...yield* theirs.claim(1), ...yield* theirs.claim(1)]
      assert.deepStrictEqual(claims.map(({ attempt, id }) => `${id}#${attempt}`), lost.map((id) => `${id}#2`))
      yield* Deferred.succeed(opened, void 0)
      yield* ended(2)
      // They are held by who has claimed them.
      assert.deepStrictEqual(yield* theirs.renew(claims), [])
      return { entries, lines: lines.filter((line) => !/Offered|Started/.test(line)) }
    }).pipe(Effect.provide(context))
  })

describe("A batch of which another process has some jobs by now", () => {
  it.scoped("completes the others, and is told which it holds", () =>
    Effect.gen(function*() {
      const { entries, lines } = yield* losing(["b"], (letters, batch, note) =>
        batch.complete(letters, (held) => note(held.map(({ id }) => id).join(" "))))
      assert.deepStrictEqual(entries, ["11s a"])
      assert.deepStrictEqual([...lines].sort(), ["11s LeaseLost b#1", "11s Succeeded a#1"])
    }))

  it.scoped("acknowledges the others when it succeeds", () =>
    Effect.gen(function*() {
      const { lines } = yield* losing(["b"], () => Effect.void)
      assert.deepStrictEqual([...lines].sort(), ["11s LeaseLost b#1", "11s Succeeded a#1"])
    }))

  it.scoped("writes nothing when it holds none, and fails none of them", () =>
    Effect.gen(function*() {
      const { entries, lines } = yield* losing(["a", "b"], (letters, batch, note) =>
        batch.complete(letters, () => note("written")))
      assert.deepStrictEqual(entries, [])
      assert.deepStrictEqual([...lines].sort(), ["11s LeaseLost a#1", "11s LeaseLost b#1"])
    }))
})
