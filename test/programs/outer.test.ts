// What is provided outside of launch, in virtual time.
import { assert, describe, it } from "@effect/vitest"
import { type Duration, Effect, Exit, Layer, Schema, type Scope } from "effect"
import * as Drain from "../../src/core/Drain.js"
import { ShutdownReport } from "../../src/core/ShutdownReport.js"
import * as Journal from "../../src/testing/Journal.js"
import * as TestApp from "../../src/testing/TestApp.js"

const finalizer = (work: Effect.Effect<unknown>) => Layer.scopedDiscard(Effect.addFinalizer(() => work))

/** An exporter that takes so long to flush. */
const exporter = (journal: Journal.Journal, takes: Duration.DurationInput) =>
  finalizer(Effect.delay(journal.note("flushed"), takes))

/** Stops the app, which has 10 seconds, a reserve of 1 second, and a quarter of it for what is outside. */
const stopped = <E, E2>(
  layer: Layer.Layer<never, E>,
  outside: (journal: Journal.Journal) => Layer.Layer<never, E2>
): Effect.Effect<ReadonlyArray<unknown>, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const journal = yield* Journal.make
    const app = yield* TestApp.start(layer, { gracePeriod: "10 seconds", outside: outside(journal) })
    yield* app.signal("SIGTERM")
    const { drains, elapsed, exitCode } = Schema.encodeSync(ShutdownReport)(yield* app.report)
    const lines = drains.map((_) => `${_.name} ${_.outcome} ${_.started} + ${_.elapsed}`)
    return [...lines, `${elapsed} exit ${exitCode}`, ...(yield* journal.lines)]
  })

const hung = Layer.scopedDiscard(Drain.acquire({
  name: "hung",
  acquire: Effect.void,
  drain: () => Effect.uninterruptible(Effect.never),
  interrupt: () => Effect.never,
  release: () => Effect.never
}))

describe("What is provided outside of launch", () => {
  it.scoped("is released after the app, and is in the report if that takes noticeable time", () =>
    Effect.gen(function*() {
      const worker = Layer.scopedDiscard(Drain.acquire({
        name: "worker",
        acquire: Effect.void,
        drain: () => Effect.sleep("2 seconds")
      }))
      assert.deepStrictEqual(yield* stopped(worker, (journal) => exporter(journal, "3 seconds")), [
        "worker Drained 0 + 2000",
        "outer Drained 2000 + 3000",
        "5000 exit 0",
        "5s flushed"
      ])
      assert.deepStrictEqual(yield* stopped(worker, (journal) => exporter(journal, "1 millis")), [
        "worker Drained 0 + 2000",
        "2001 exit 0",
        "2s flushed"
      ])
    }))

  it.scoped("has a quarter of the reserve when the app ignores every step of its release", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* stopped(hung, (journal) => exporter(journal, "200 millis")), [
        "hung Abandoned 0 + 9562",
        "outer Drained 9562 + 200",
        "9762 exit 1",
        "9.8s flushed"
      ])
    }))

  it.scoped("has a quarter of the reserve when a finalizer of the app hangs", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* stopped(finalizer(Effect.never), (journal) => exporter(journal, "200 millis")),
        ["scope Abandoned 0 + 9750", "outer Drained 9750 + 200", "9950 exit 1", "9.9s flushed"]
      )
    }))

  it.scoped("is abandoned at the deadline when it hangs", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* stopped(Layer.empty, () => finalizer(Effect.never)), [
        "outer Abandoned 0 + 10000",
        "10000 exit 1"
      ])
      assert.deepStrictEqual(yield* stopped(finalizer(Effect.never), () => finalizer(Effect.never)), [
        "scope Abandoned 0 + 9750",
        "outer Abandoned 9750 + 250",
        "10000 exit 1"
      ])
    }))

  it.scoped("is reported with its own failure, also after one of the app", () =>
    Effect.gen(function*() {
      const outside = finalizer(Effect.die(new Error("cannot flush")))
      const error = yield* Effect.flip(TestApp.start(Layer.effectDiscard(Effect.fail("no database")), { outside }))
      if (!(error instanceof TestApp.NotStarted)) return assert.fail(String(error))
      const { report } = error
      assert.deepStrictEqual(report.drains.map(({ failure, name }) => [name, failure]), [["outer", "cannot flush"]])
      assert.strictEqual(report.failure, "cannot start: no database")
    }))

  it.scoped("may fail to be built, which fails the start of a TestApp", () =>
    Effect.gen(function*() {
      const outside = Layer.scopedDiscard(Effect.fail("no collector"))
      assert.deepStrictEqual(
        yield* Effect.exit(TestApp.start(Layer.empty, { outside })),
        Exit.fail("no collector")
      )
    }))
})
