import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Effect, Ref, TestClock } from "effect"
import { JobSource } from "../../../src/layers/jobs/JobSource.js"
import * as JobSourceMemory from "../../../src/layers/jobs/JobSourceMemory.js"
import { jobSourceConformance } from "../../conformance/jobSource.js"

jobSourceConformance("the source in memory", {
  make: (world) =>
    Effect.gen(function*() {
      const source = yield* JobSourceMemory.make(world)
      const lines = yield* Ref.make<ReadonlyArray<string>>([])
      return {
        sources: [source, source],
        write: (line) => Ref.update(lines, (lines) => [...lines, line]),
        written: Ref.get(lines)
      }
    }),
  lease: "10 seconds",
  passTime: TestClock.adjust,
  live: false,
  transactional: false
})

describe("JobSourceMemory", () => {
  const queue = (options: JobSourceMemory.Options) =>
    Effect.flatMap(JobSource, (source) => source.open({ name: "letters" })).pipe(
      Effect.provide(JobSourceMemory.layer(options))
    )

  it.scoped("is full at its capacity, including delayed jobs, and accepts all jobs of an offer or none", () =>
    Effect.gen(function*() {
      const { claim, offer, size } = yield* queue({ capacity: 3 })
      yield* offer(["a"])
      yield* offer(["b"], { delay: "1 hour" })
      const full = yield* Effect.flip(offer(["c", "d"]))
      assert.strictEqual(full.message, "letters: the queue is full (capacity 3)")
      assert.strictEqual(yield* size, 2)
      yield* offer(["c"])
      yield* claim(1)
      yield* offer(["d"])
    }))

  it.scoped("has room for jobs that return to the queue, however full it is", () =>
    Effect.gen(function*() {
      const { claim, handBack, offer, size } = yield* queue({ capacity: 1 })
      yield* offer(["a"])
      const claims = yield* claim(1)
      yield* offer(["b"])
      yield* handBack(claims)
      assert.strictEqual(yield* size, 2)
      assert.strictEqual((yield* claim(1))[0]?.payload, "a")
    }))

  it.scoped("has leases that never expire by default", () =>
    Effect.gen(function*() {
      const { claim, offer } = yield* queue({})
      yield* offer(["a"])
      yield* claim(1)
      yield* TestClock.adjust("365 days")
      assert.deepStrictEqual(yield* claim(1), [])
    }))

  it.scoped("does not let a lease expire while the writes of its transaction run", () =>
    Effect.gen(function*() {
      const { claim, offer, transact } = yield* queue({ lease: "10 seconds" })
      yield* offer(["a"])
      const [held] = yield* claim(1)
      const fiber = yield* Effect.fork(transact(held!, Effect.sleep("1 minute"), { _tag: "Ack" }))
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(yield* claim(1), [])
      yield* TestClock.adjust("30 seconds")
      yield* fiber
    }))

  it.scoped("keeps as many dead letters as jobs, and drops the oldest", () =>
    Effect.gen(function*() {
      const { claim, deadLetter, deadLetters, offer } = yield* queue({ capacity: 2 })
      for (const letter of ["a", "b", "c"]) {
        yield* offer([letter])
        yield* deadLetter((yield* claim(1))[0]!, "no")
      }
      assert.deepStrictEqual((yield* deadLetters.list(9)).map((_) => _.payload), ["b", "c"])
    }))

  it.scoped("takes its options from the configuration with layerConfig", () =>
    Effect.gen(function*() {
      const { offer } = yield* Effect.flatMap(JobSource, (source) => source.open({ name: "letters" })).pipe(
        Effect.provide(JobSourceMemory.layerConfig({ capacity: Config.integer("CAPACITY") })),
        Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["CAPACITY", "2"]])))
      )
      const full = yield* Effect.flip(offer(["a", "b", "c"]))
      assert.strictEqual(full.message, "letters: the queue is full (capacity 2)")
    }))
})
