import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, TestClock } from "effect"
import * as Drain from "../../src/core/Drain.js"
import * as Shutdown from "../../src/core/Shutdown.js"
import { type ShutdownReport, toJson } from "../../src/core/ShutdownReport.js"
import * as TestApp from "../../src/testing/TestApp.js"

const outcomes = (report: ShutdownReport) => report.drains.map((drain) => [drain.name, drain.outcome])

const resource = (options: Omit<Drain.Steps<void>, never> & { readonly name: string }) =>
  Layer.scopedDiscard(Drain.acquire({ acquire: Effect.void, ...options }))

describe("launch", () => {
  it.scoped("drains dependents first, within the budget, and exits 0", () =>
    Effect.gen(function*() {
      const app = yield* TestApp.start(
        resource({ name: "http", drain: () => Effect.sleep("2 seconds") }).pipe(
          Layer.provideMerge(resource({ name: "importer", drain: () => Effect.sleep("3 seconds") })),
          Layer.provideMerge(resource({ name: "database", release: () => Effect.void }))
        ),
        { preStopDelay: "5 seconds" }
      )
      yield* app.signal("SIGTERM")
      const report = yield* app.report
      assert.deepStrictEqual(outcomes(report), [["http", "Drained"], ["importer", "Drained"], ["database", "Drained"]])
      assert.deepStrictEqual(yield* app.journal, [
        "0ms app Running",
        "0ms SIGTERM received",
        "0ms app shutdown requested: SIGTERM",
        "0ms app LameDuck",
        "5s app Draining",
        "5s http draining",
        "7s http Drained",
        "7s importer draining",
        "10s importer Drained",
        "10s database releasing",
        "10s database Drained",
        "10s app Stopped"
      ])
      assert.strictEqual(yield* app.exit, 0)
    }))

  it.scoped("interrupts an endless drain when only the reserve is left, and exits 1", () =>
    Effect.gen(function*() {
      const app = yield* TestApp.start(
        resource({ name: "http", drain: () => Effect.never, interrupt: () => Effect.void }).pipe(
          Layer.provideMerge(resource({ name: "database", drain: () => Effect.uninterruptible(Effect.never) }))
        )
      )
      yield* app.signal("SIGTERM")
      const report = yield* app.report
      assert.deepStrictEqual(outcomes(report), [["http", "Interrupted"], ["database", "Interrupted"]])
      assert.strictEqual(report.drains[0]?.reason, "drain not done within 23s")
      assert.strictEqual(report.exitCode, 1)
    }))

  it.scoped("expedites at a second signal, and ignores its duplicate", () =>
    Effect.gen(function*() {
      const app = yield* TestApp.start(
        resource({ name: "http", drain: () => Effect.never, interrupt: () => Effect.void })
      )
      yield* app.signal("SIGINT")
      yield* app.until("http", "draining")
      yield* TestClock.adjust("499 millis")
      yield* app.signal("SIGINT")
      yield* TestClock.adjust("1 millis")
      yield* app.signal("SIGINT")
      const report = yield* app.report
      assert.deepStrictEqual(yield* app.journal, [
        "0ms app Running",
        "0ms SIGINT received",
        "0ms app shutdown requested: SIGINT",
        "0ms app Draining",
        "0ms http draining",
        "499ms SIGINT duplicate, ignored",
        "500ms SIGINT received again, expediting",
        "500ms app expedited",
        "500ms http interrupting",
        "500ms http Interrupted",
        "500ms app Stopped"
      ])
      assert.strictEqual(report.expedited, true)
    }))

  it.scoped("reports a layer that cannot be built", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(TestApp.start(
        Layer.scopedDiscard(Effect.fail(new Error("no such table"))).pipe(
          Layer.provideMerge(resource({ name: "database", release: () => Effect.void }))
        )
      ))
      assert.strictEqual(error.message, "cannot start: no such table")
    }))

  it.scoped("shuts down at Shutdown.begin, with its reason as the cause", () =>
    Effect.gen(function*() {
      const app = yield* TestApp.start(
        Layer.scopedDiscard(Effect.forkScoped(Effect.delay(Shutdown.begin("enough"), "1 minute")))
      )
      yield* TestClock.adjust("1 minute")
      const report = yield* app.report
      assert.strictEqual(report.cause, "enough")
    }))

  it.scoped("exits at a third signal, without a report", () =>
    Effect.gen(function*() {
      const app = yield* TestApp.start(
        resource({ name: "http", release: () => Effect.uninterruptible(Effect.never) }),
        { duplicateWindow: 0 }
      )
      yield* app.signal("SIGTERM")
      yield* app.until("http", "releasing")
      yield* app.signal("SIGTERM")
      yield* app.signal("SIGTERM")
      assert.strictEqual(yield* app.exit, 143)
      const exit = yield* Effect.exit(app.report)
      assert.include(String(exit), "the app exited at a third signal, before there was a report")
    }))

  it.scoped("reports a finalizer outside of any Drain that hangs, and runs the releases that wait for it", () =>
    Effect.gen(function*() {
      const app = yield* TestApp.start(
        Layer.scopedDiscard(Effect.addFinalizer(() => Effect.never)).pipe(
          Layer.provideMerge(resource({ name: "database", release: () => Effect.void }))
        )
      )
      yield* app.signal("SIGTERM")
      const report = yield* app.report
      assert.deepStrictEqual(outcomes(report), [["scope", "Abandoned"], ["database", "Drained"]])
      assert.deepStrictEqual((yield* app.journal).slice(4), [
        "24.5s scope Abandoned",
        "24.5s database releasing",
        "24.5s database Drained",
        "24.5s app Stopped"
      ])
      assert.strictEqual(yield* app.exit, 1)
    }))

  it.scoped("writes the report to a file", () =>
    Effect.gen(function*() {
      const app = yield* TestApp.start(Layer.empty, { reportFile: "report.json" })
      yield* app.signal("SIGTERM")
      const report = yield* app.report
      assert.deepStrictEqual(yield* app.files, new Map([["report.json", toJson(report)]]))
    }))
})
