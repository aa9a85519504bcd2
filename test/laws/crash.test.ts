import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger, LogLevel, Option } from "effect"
import type { JobQueue } from "../../src/layers/jobs/JobSource.js"
import { JobSource } from "../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../src/layers/jobs/WorkerPool.js"
import * as Crash from "../../src/testing/Crash.js"
import type * as Interruption from "../../src/testing/Interruption.js"
import { long } from "../kit/long.js"
import { Ledger, makePgliteStore, memoryStore, type Store } from "./crashStores.js"

class Jobs extends WorkerPool.Tag("jobs")<Jobs, string, number>() {}

/** What each job does, in the order in which they are offered. */
const effectsOf: Record<string, ReadonlyArray<string>> = {
  completes: ["completes"],
  checkpoints: ["checkpoint 1", "checkpoint 2"],
  fails: ["fails at first"]
}

const pool = Layer.unwrapEffect(Effect.map(Ledger, (write) =>
  Jobs.layer({
    concurrency: 2,
    process: (job, { attempt, checkpoint, complete, cursor }) =>
      Effect.gen(function*() {
        yield* Effect.sleep("1 second")
        if (job === "fails" && attempt === 1) return yield* Effect.fail("at first")
        if (job !== "checkpoints") return yield* complete(write(effectsOf[job]![0]!))
        for (let step = Option.getOrElse(cursor, () => 0) + 1; step <= 2; step++) {
          yield* checkpoint(step, write(`checkpoint ${step}`))
        }
      })
  })))

interface World {
  readonly store: Store
  /** The jobs whose client knows that they were accepted. */
  readonly accepted: Set<string>
}

/** Every accepted job has each of its effects once and in order, and any other job all of them or none. */
const exactlyOnce = ({ accepted, store }: World) =>
  Effect.map(store.effects, (effects) => {
    for (const [job, expected] of Object.entries(effectsOf)) {
      const found = effects.filter((effect) => expected.includes(effect))
      if (accepted.has(job) || found.length > 0) assert.deepStrictEqual(found, expected, job)
    }
  })

const explore = (
  setup: Effect.Effect<Store>,
  extent: Interruption.Extent,
  /** Plants a fault. */
  wrap: (queue: JobQueue) => JobQueue = (queue) => queue
) => {
  const opened = ({ open }: Store) => {
    const wrapped = Layer.map(open, (context) => {
      const source = Context.get(context, JobSource)
      return Context.add(context, JobSource, {
        ...source,
        open: (options) => Effect.map(source.open(options), wrap)
      })
    })
    return Layer.provide(pool, wrapped)
  }
  return Crash.explore({
    ...extent,
    maxOperations: 200_000,
    setup: Effect.map(setup, (store): World => ({ store, accepted: new Set() })),
    program: ({ accepted, store }) =>
      Effect.gen(function*() {
        const jobs = yield* Jobs
        for (const job of Object.keys(effectsOf)) {
          yield* jobs.offer(job, { id: job })
          accepted.add(job)
        }
        yield* Effect.sleep("5 seconds")
      }).pipe(Effect.provide(opened(store))),
    restart: ({ store }) => Effect.zipRight(store.cut, Effect.provide(Effect.sleep("15 seconds"), opened(store))),
    invariant: exactlyOnce
  }).pipe(Logger.withMinimumLogLevel(LogLevel.None))
}

/** Writes that take a while. */
const slowly = <A, E, R>(writes: Effect.Effect<A, E, R>) =>
  Effect.zipRight(Effect.repeatN(Effect.yieldNow(), 200), writes)

/** A queue that settles a job first, and then runs the writes of its transaction. */
const settlesFirst = (queue: JobQueue): JobQueue => ({
  ...queue,
  transact: (claim, writes, settlement) =>
    Effect.zipRight(queue.transact(claim, Effect.void, settlement), slowly(writes))
})

/** A queue that commits the writes of a transaction, and then settles the job. */
const settlesLast = (queue: JobQueue): JobQueue => ({
  ...queue,
  transact: (claim, writes, settlement) =>
    Effect.zipLeft(writes, slowly(queue.transact(claim, Effect.void, settlement)))
})

const reasons = ({ broken }: Interruption.Report) => broken.map(({ reason }) => reason.split(":")[0])

describe("law 3, of a process that dies at any of its operations: each accepted job has its effects exactly once", () => {
  it.effect("over a store in memory", () =>
    Effect.gen(function*() {
      const report = yield* explore(memoryStore, long ? {} : { sample: 150 })
      assert.isTrue(report.safe, String(report))
    }), 1_200_000)

  it.scoped("over PGlite", () =>
    Effect.gen(function*() {
      const report = yield* explore(yield* makePgliteStore, { sample: long ? 150 : 12 })
      assert.isTrue(report.safe, String(report))
    }), 1_200_000)

  it.effect(
    "and a queue that settles jobs before or after the transaction of their writes breaks it",
    () =>
      Effect.gen(function*() {
        for (const planted of [settlesFirst, settlesLast]) {
          const report = yield* explore(memoryStore, { sample: 60 }, planted)
          assert.includeMembers(reasons(report), ["completes", "checkpoints", "fails"])
          assert.deepStrictEqual(report.hung, [])
          assert.match(report.broken[0]!.running, / in jobs\.process: /)
        }
      }),
    120_000
  )
})
