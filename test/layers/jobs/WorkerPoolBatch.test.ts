import { assert, describe, it } from "@effect/vitest"
import { Array, Deferred, Effect, Schedule, TestClock } from "effect"
import { BatchError } from "../../../src/layers/jobs/JobBatch.js"
import type { JobQueue } from "../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { until } from "../../kit/until.js"
import { makeJournal, makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}

const finished = (count: number) =>
  until(`${count} runs have ended`, Effect.map(Letters.status, (_) => _.finished), (n) => n === count)
const running = (count: number) =>
  until(`${count} jobs are in flight`, Effect.map(Letters.status, (_) => _.inFlight), (n) => n === count)
const offer = (...letters: ReadonlyArray<string>) => Letters.offerAll(letters, { ids: letters })
const once = Schedule.recurs(0)

/** Records the ids of each statement that settles jobs together. */
const recorded = (calls: Array<string>) => (queue: JobQueue): JobQueue => {
  const ids = (name: string, claims: ReadonlyArray<{ readonly id: string }>) =>
    void calls.push(`${name} ${claims.map(({ id }) => id).join(" ")}`)
  return {
    ...queue,
    acknowledge: (claims) => Effect.suspend(() => (ids("acknowledge", claims), queue.acknowledge(claims))),
    transactAll: (claims, writes) =>
      Effect.suspend(() => (ids("transactAll", claims), queue.transactAll(claims, writes)))
  }
}

describe("A pool that runs batches", () => {
  it.scoped("runs as many jobs as a batch may have in one call, and acknowledges them in one statement", () =>
    Effect.gen(function*() {
      const calls: Array<string> = []
      const { lines, onEvent } = makeJournal()
      const { scoped } = yield* makeWorld({ wrap: recorded(calls) })
      const batches: Array<ReadonlyArray<unknown>> = []
      const opened = yield* Deferred.make<void>()
      const context = yield* scoped(Letters.layerBatched({
        concurrency: 1,
        batchSize: 3,
        onEvent,
        processAll: (letters) => {
          batches.push(letters.map(({ attempt, idempotencyKey, payload }) => [payload, attempt, idempotencyKey("s")]))
          return Deferred.await(opened)
        }
      }))
      yield* Effect.gen(function*() {
        yield* offer("a", "b", "c", "d")
        yield* running(3)
        assert.deepStrictEqual((yield* Effect.flatMap(Letters, (_) => _.running)).map(({ id }) => id), ["a", "b", "c"])
        yield* Deferred.succeed(opened, void 0)
        yield* finished(4)
      }).pipe(Effect.provide(context))
      assert.deepStrictEqual(batches, [
        [["a", 1, "letters/a/s"], ["b", 1, "letters/b/s"], ["c", 1, "letters/c/s"]],
        [["d", 1, "letters/d/s"]]
      ])
      assert.deepStrictEqual(calls, ["acknowledge a b c", "acknowledge d"])
      assert.deepStrictEqual(lines, [
        "0s Offered a b c d",
        ...["Started", "Succeeded"].flatMap((tag) => ["a", "b", "c"].map((id) => `0s ${tag} ${id}#1`)),
        "0s Started d#1",
        "0s Succeeded d#1"
      ])
    }))

  it.scoped("waits for more jobs for as long as it may, once there is one", () =>
    Effect.gen(function*() {
      const { entries, note, scoped } = yield* makeWorld()
      const context = yield* scoped(Letters.layerBatched({
        concurrency: 1,
        batchSize: 10,
        batchWait: "2 seconds",
        processAll: (letters) => note(letters.map(({ payload }) => payload).join(" "))
      }))
      yield* Effect.gen(function*() {
        yield* TestClock.adjust("1 second")
        yield* offer("a")
        yield* TestClock.adjust("1 second")
        yield* offer("b")
        yield* TestClock.adjust("1 second")
        yield* finished(2)
      }).pipe(Effect.provide(context))
      assert.deepStrictEqual(entries, ["3s a b"])
    }))

  it.scoped("runs each job of a batch that fails alone, so that only those that fail alone spend an attempt", () =>
    Effect.gen(function*() {
      const { lines, onEvent } = makeJournal()
      const { entries, note, scoped } = yield* makeWorld()
      const context = yield* scoped(Letters.layerBatched({
        concurrency: 1,
        batchSize: 9,
        retry: once,
        onEvent,
        processAll: (letters) =>
          Effect.zipRight(
            note(letters.map(({ payload }) => payload).join(" ")),
            letters.some(({ payload }) => payload === "bad") ? Effect.die(new Error("no address")) : Effect.void
          )
      }))
      yield* Effect.zipRight(offer("a", "bad", "c"), finished(3)).pipe(Effect.provide(context))
      assert.deepStrictEqual(entries, ["0s a bad c", "0s a", "0s bad", "0s c"])
      assert.deepStrictEqual(lines.filter((line) => !line.includes("Offered")), [
        "0s Started a#1",
        "0s Started bad#1",
        "0s Started c#1",
        "0s Succeeded a#1",
        "0s DeadLettered bad#1: Error: no address",
        "0s Succeeded c#1"
      ])
    }))

  it.scoped("fails the jobs that a BatchError names, and acknowledges the others", () =>
    Effect.gen(function*() {
      const calls: Array<string> = []
      const { lines, onEvent } = makeJournal()
      const { scoped } = yield* makeWorld({ wrap: recorded(calls) })
      const context = yield* scoped(Letters.layerBatched({
        concurrency: 1,
        batchSize: 9,
        retry: Schedule.recurs(1),
        onEvent,
        processAll: (letters) =>
          letters.length === 1
            ? Effect.void
            : new BatchError({
              failures: [{ id: "b", error: "later" as const }, { id: "c", error: "never" as const }, {
                id: "z",
                error: "never" as const
              }]
            }),
        permanent: (error) => error === "never"
      }))
      yield* Effect.zipRight(offer("a", "b", "c", "d"), finished(5)).pipe(Effect.provide(context))
      assert.deepStrictEqual(calls, ["acknowledge a d", "acknowledge b"])
      assert.deepStrictEqual(lines.slice(5), [
        "0s Retried b#1: Error: later",
        "0s DeadLettered c#1: Error: never",
        "0s Succeeded a#1",
        "0s Succeeded d#1",
        "0s Started b#2",
        "0s Succeeded b#2"
      ])
    }))

  it.scoped("runs the others once more, together, when a BatchError undoes the writes of all", () =>
    Effect.gen(function*() {
      const calls: Array<string> = []
      const { scoped } = yield* makeWorld({ wrap: recorded(calls) })
      const context = yield* scoped(Letters.layerBatched({
        concurrency: 1,
        batchSize: 9,
        retry: once,
        processAll: (letters, batch) =>
          batch.complete(letters, (held) =>
            held.some(({ id }) => id === "b")
              ? new BatchError({ failures: [{ id: "b", error: "no address" }] })
              : Effect.void)
      }))
      yield* Effect.gen(function*() {
        yield* offer("a", "b", "c")
        yield* finished(3)
        const letters = yield* Effect.flatMap(Letters, (_) => _.deadLetters.list(9))
        assert.deepStrictEqual(letters.map(({ error, id }) => [id, error]), [["b", "Error: no address"]])
      }).pipe(Effect.provide(context))
      assert.deepStrictEqual(calls, ["transactAll a b c", "transactAll a c"])
    }))

  it.scoped("completes a batch in parts, and acknowledges what is left", () =>
    Effect.gen(function*() {
      const calls: Array<string> = []
      const { entries, note, scoped } = yield* makeWorld({ wrap: recorded(calls) })
      const context = yield* scoped(Letters.layerBatched({
        concurrency: 1,
        batchSize: 9,
        processAll: (letters, batch) =>
          Effect.forEach(Array.chunksOf(letters, 2).slice(0, 2), (part) =>
            batch.complete(part, (held) => note(held.map(({ id }) => id).join(" "))))
      }))
      yield* Effect.zipRight(offer("a", "b", "c", "d", "e"), finished(5)).pipe(Effect.provide(context))
      assert.deepStrictEqual(entries, ["0s a b", "0s c d"])
      assert.deepStrictEqual(calls, ["transactAll a b", "transactAll c d", "acknowledge e"])
    }))

  it.scoped("fails a job whose complete has failed, though the process succeeds", () =>
    Effect.gen(function*() {
      const { scoped } = yield* makeWorld()
      const context = yield* scoped(Letters.layerBatched({
        concurrency: 1,
        batchSize: 9,
        retry: once,
        processAll: (letters, batch) => Effect.ignore(batch.complete(letters, () => Effect.fail("disk full")))
      }))
      yield* Effect.gen(function*() {
        yield* offer("a", "b")
        yield* finished(2)
        const letters = yield* Effect.flatMap(Letters, (_) => _.deadLetters.list(9))
        assert.deepStrictEqual(letters.map(({ error, id }) => [id, error]), [["a", "Error: disk full"], [
          "b",
          "Error: disk full"
        ]])
      }).pipe(Effect.provide(context))
    }))

  it.scoped("leaves a cancelled job out of the writes, and is interrupted when all of its jobs are cancelled", () =>
    Effect.gen(function*() {
      const { lines, onEvent } = makeJournal()
      const { entries, note, scoped } = yield* makeWorld()
      const noted = (count: number) => until(`${count} entries`, Effect.sync(() => entries.length), (n) => n === count)
      const opened = yield* Deferred.make<void>()
      const context = yield* scoped(Letters.layerBatched({
        concurrency: 1,
        batchSize: 9,
        onEvent,
        processAll: (letters, batch) =>
          note("begun").pipe(
            Effect.zipRight(Deferred.await(opened)),
            Effect.zipRight(batch.complete(letters, (held) => note(held.map(({ id }) => id).join(" ")))),
            Effect.onInterrupt(() => note(`interrupted, ${(batch.signal.reason as { readonly _tag: string })._tag}`))
          )
      }))
      yield* Effect.gen(function*() {
        const { cancel } = yield* Letters
        yield* offer("a", "b")
        yield* noted(1)
        yield* cancel(["a"])
        yield* running(2)
        yield* cancel(["b"])
        yield* noted(2)
        yield* offer("c", "d")
        yield* noted(3)
        yield* cancel(["c"])
        yield* Deferred.succeed(opened, void 0)
        yield* noted(4)
      }).pipe(Effect.provide(context))
      assert.deepStrictEqual(entries, ["0s begun", "0s interrupted, Cancelled", "0s begun", "0s d"])
      assert.deepStrictEqual(lines.filter((line) => line.includes("RunCancelled")).slice(0, 2), [
        "0s RunCancelled a#1",
        "0s RunCancelled b#1"
      ])
    }))

  it.scoped("a batch needs at least one job", () =>
    Effect.gen(function*() {
      const { scoped } = yield* makeWorld()
      const layer = Letters.layerBatched({ concurrency: 1, batchSize: 0, processAll: () => Effect.void })
      const cause = yield* Effect.flip(Effect.sandbox(scoped(layer)))
      assert.include(String(cause), "batchSize")
    }))
})
