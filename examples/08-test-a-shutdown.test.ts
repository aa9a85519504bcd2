// A shutdown of twenty seconds, tested in milliseconds: the real launch in virtual time.
//
// Run it:   npx vitest run examples/08-test-a-shutdown.test.ts
// Press:    nothing: it ends by itself
// Prints:   the name of the test, and that it passed
// Needs:    nothing
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Drain, JobSourceMemory, WorkerPool } from "lastcall"
import { TestApp } from "lastcall/testing"

class Importer extends WorkerPool.Tag("importer")<Importer, string>() {}

const Store = Layer.scopedDiscard(Drain.acquire({ name: "database", acquire: Effect.void, release: () => Effect.void }))

const App = Layer.effectDiscard(Importer.offer("a file that takes an hour")).pipe(
  Layer.provide(Importer.layer({ concurrency: 8, drainTimeout: "10 seconds", process: () => Effect.sleep("1 hour") })),
  Layer.provide(JobSourceMemory.layer({ durable: true })),
  Layer.provide(Store)
)

it.scoped("a job that outlives the drain is handed back before the database is released", () =>
  Effect.gen(function*() {
    const app = yield* TestApp.start(App, { gracePeriod: "25 seconds", preStopDelay: "5 seconds" })
    yield* app.signal("SIGTERM")
    const report = yield* app.report
    assert.deepStrictEqual(
      report.drains.map((drain) => [drain.name, drain.outcome, drain.handedBack]),
      [["importer", "Interrupted", 1], ["database", "Drained", 0]]
    )
    assert.strictEqual(report.exitCode, 0)
  }))
