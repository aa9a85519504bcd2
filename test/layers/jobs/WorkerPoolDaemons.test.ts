import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Layer, Schema } from "effect"
import { ShutdownReport } from "../../../src/core/ShutdownReport.js"
import type { JobContext } from "../../../src/layers/jobs/JobContext.js"
import * as JobSourceMemory from "../../../src/layers/jobs/JobSourceMemory.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import * as Journal from "../../../src/testing/Journal.js"
import * as TestApp from "../../../src/testing/TestApp.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}

/** What jobs write to. It is released after the pool. */
class Store extends Context.Tag("Store")<Store, Journal.Journal>() {}

/** Offers the jobs, stops the service once all of them have begun, and returns what was written and the report. */
const run = (
  jobs: ReadonlyArray<string>,
  process: (letter: string, context: JobContext<unknown>) => Effect.Effect<unknown, never, Store>,
  durable = true
) =>
  Effect.gen(function*() {
    const journal = yield* Journal.make
    const begun = yield* Deferred.make<void>()
    let left = jobs.length
    const store = Layer.scoped(
      Store,
      Effect.acquireRelease(Effect.succeed(journal), ({ note }) => note("store closed"))
    )
    const pool = Letters.layer({
      concurrency: 5,
      daemonTimeout: "3 seconds",
      drainTimeout: "4 seconds",
      releaseTimeout: "1 second",
      process: (letter, context) =>
        Effect.zipLeft(
          process(letter, context),
          Effect.suspend(() => --left === 0 ? Deferred.succeed(begun, void 0) : Effect.void)
        )
    }).pipe(
      Layer.provide(store),
      Layer.provide(JobSourceMemory.layer({ durable }))
    )
    const app = yield* TestApp.start(
      Layer.provide(Layer.effectDiscard(Letters.offerAll(jobs)), pool)
    )
    yield* Deferred.await(begun)
    yield* app.signal("SIGTERM")
    const { drains, exitCode } = Schema.encodeSync(ShutdownReport)(yield* app.report)
    return {
      journal: yield* journal.lines,
      exitCode,
      drains: drains.map(({ reason, ...drain }) => ({
        ...drain,
        ...(reason === undefined ? {} : { reason: reason.replace(/#\d+/g, "#n") })
      }))
    }
  })

const note = (what: string) => Effect.flatMap(Store, (store) => store.note(what))

const pool = {
  name: "letters",
  outcome: "Drained",
  started: 0,
  elapsed: 0,
  finished: 0,
  handedBack: 0,
  cut: 0
} as const
const daemons = { ...pool, name: "letters daemons" }

describe("fibers that jobs leave behind", () => {
  it.scoped("finish before what they use is released, 5 of 5", () =>
    Effect.gen(function*() {
      const letters = ["1", "2", "3", "4", "5"]
      const report = yield* run(
        letters,
        (letter) => Effect.forkDaemon(Effect.delay(note(letter), Number(letter) * 500))
      )
      assert.deepStrictEqual(report, {
        journal: ["500ms 1", "1s 2", "1.5s 3", "2s 4", "2.5s 5", "2.5s store closed"],
        exitCode: 0,
        drains: [pool, { ...daemons, elapsed: 2500, finished: 5 }]
      })
    }))

  it.scoped("may leave others behind, and may fail", () =>
    Effect.gen(function*() {
      const report = yield* run(["a"], (letter) =>
        Effect.zipRight(
          Effect.forkDaemon(Effect.zipRight(
            Effect.delay(note(`${letter} outer`), "1 second"),
            Effect.forkDaemon(Effect.delay(note(`${letter} inner`), "1 second"))
          )),
          Effect.forkDaemon(Effect.delay(Effect.fail("no mail"), "1 second"))
        ))
      assert.deepStrictEqual(report, {
        journal: ["1s a outer", "2s a inner", "2s store closed"],
        exitCode: 0,
        drains: [pool, { ...daemons, elapsed: 2000, finished: 3 }]
      })
    }))

  it.scoped("have the time of daemonTimeout after the last job, over a queue in memory too", () =>
    Effect.gen(function*() {
      const report = yield* run(
        ["a", "b"],
        (letter) => Effect.forkDaemon(Effect.delay(note(letter), letter === "a" ? "2 seconds" : "3500 millis")),
        false
      )
      assert.deepStrictEqual(report, {
        journal: ["2s a", "3s store closed"],
        exitCode: 0,
        drains: [pool, {
          ...daemons,
          outcome: "Interrupted",
          elapsed: 3000,
          finished: 1,
          reason: "drain not done within 3s (letters.process #n)"
        }]
      })
    }))

  it.scoped("without end are interrupted after daemonTimeout, named in the report, and cost no exit code", () =>
    Effect.gen(function*() {
      const report = yield* run(
        ["a"],
        () => Effect.forkDaemon(Effect.withSpan(Effect.forever(Effect.sleep("1 second")), "refresh"))
      )
      assert.deepStrictEqual(report, {
        journal: ["3s store closed"],
        exitCode: 0,
        drains: [pool, {
          ...daemons,
          outcome: "Interrupted",
          elapsed: 3000,
          reason: "drain not done within 3s (refresh #n)"
        }]
      })
    }))

  it.scoped("are not the jobs themselves, not even those that are abandoned", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const journal = yield* Journal.make
      const layer = Letters.layer({
        concurrency: 1,
        drainTimeout: "2 seconds",
        releaseTimeout: "1 second",
        process: () =>
          Effect.forkDaemon(Effect.delay(journal.note("daemon"), "1 second")).pipe(
            Effect.zipRight(Deferred.succeed(begun, void 0)),
            Effect.zipRight(Effect.uninterruptible(Effect.never))
          )
      }).pipe(Layer.provide(JobSourceMemory.layer({ durable: true })))
      const app = yield* TestApp.start(Layer.provide(Layer.effectDiscard(Letters.offer("a")), layer))
      yield* Deferred.await(begun)
      yield* app.signal("SIGTERM")
      const { drains, exitCode } = Schema.encodeSync(ShutdownReport)(yield* app.report)
      assert.deepStrictEqual({ drains, exitCode, journal: yield* journal.lines }, {
        drains: [{
          ...pool,
          outcome: "Abandoned",
          elapsed: 3000,
          cut: 1,
          reason: "drain not done within 2s, interrupt not done within 1s"
        }],
        exitCode: 1,
        journal: ["1s daemon"]
      })
    }))
})
