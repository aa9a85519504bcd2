import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, Schema } from "effect"
import { inspect } from "node:util"
import * as Drain from "../../src/core/Drain.js"
import { DrainReport, make, ShutdownReport, toJson } from "../../src/core/ShutdownReport.js"
import { loggedReport, reportJson } from "../../src/programs/internal/reportLine.js"
import * as TestApp from "../../src/testing/TestApp.js"

/** The last line that a logger writes of a shutdown without a terminal. */
const lastLine = (logger: Logger.Logger<unknown, unknown>) =>
  Effect.gen(function*() {
    const written: Array<unknown> = []
    const app = yield* TestApp.start(
      Layer.scopedDiscard(Drain.acquire({
        name: "worker",
        acquire: Effect.void,
        drain: () => Effect.sleep("3 seconds"),
        drainTimeout: "2 seconds"
      })).pipe(
        Layer.provide(Logger.replace(Logger.defaultLogger, Logger.map(logger, (line) => void written.push(line))))
      )
    )
    yield* app.signal("SIGTERM")
    yield* app.report
    yield* app.exit
    return written.at(-1)
  })

const encoded = {
  cause: "SIGTERM",
  from: "Running",
  signals: ["SIGTERM"],
  expedited: false,
  gracePeriod: 25_000,
  preStopDelay: 0,
  elapsed: 2000,
  drains: [{
    name: "worker",
    outcome: "Interrupted",
    started: 0,
    elapsed: 2000,
    finished: 0,
    handedBack: 0,
    cut: 1,
    reason: "drain not done within 2s"
  }],
  exitCode: 1
}

const drain = (_: unknown, index: number) =>
  new DrainReport({
    name: `r${index}`,
    outcome: "Drained",
    started: Duration.zero,
    elapsed: Duration.millis(index),
    finished: 0,
    handedBack: 0,
    cut: 0
  })

const line = "SIGTERM: stopped in 2s of 25s; worker Interrupted in 2s, 1 cut, drain not done within 2s; exit 1"

describe("the report in the log", () => {
  it.scoped("is an object in the lines of JSON loggers", () =>
    Effect.gen(function*() {
      const { annotations, message } = JSON.parse(String(yield* lastLine(Logger.jsonLogger))) as Record<string, unknown>
      assert.deepStrictEqual([message, annotations], ["stopped", { report: encoded }])
    }))

  it.scoped("is an object for loggers that write the annotations as JSON themselves", () =>
    Effect.gen(function*() {
      const logger = Logger.make(({ annotations }) => JSON.stringify({ fields: Object.fromEntries(annotations) }))
      assert.deepStrictEqual(JSON.parse(String(yield* lastLine(logger))), { fields: { report: encoded } })
    }))

  it.scoped("is one line of text for loggers that write text", () =>
    Effect.gen(function*() {
      for (const logger of [Logger.stringLogger, Logger.logfmtLogger]) {
        const text = String(yield* lastLine(logger))
        assert.include(text, line)
        assert.notInclude(text, "\n")
      }
      const inspected = Logger.make(({ annotations }) => Array.from(annotations, ([, value]) => inspect(value)))
      assert.deepStrictEqual(yield* lastLine(inspected), [line])
    }))

  it.effect("holds an excerpt of very many resources, and the file all of them", () =>
    Effect.gen(function*() {
      const many = make({
        ...Schema.decodeUnknownSync(ShutdownReport)(encoded),
        drains: Array.from({ length: 60 }, drain)
      })
      const logged = loggedReport(many)
      const inJson = JSON.parse(JSON.stringify({ logged })) as {
        logged: { drains: ReadonlyArray<unknown>; more: string }
      }
      assert.deepStrictEqual([inJson.logged.drains.length, inJson.logged.more], [50, "10 more, all Drained"])
      assert.match(String(logged), /r59 Drained in 59ms; .*; r10 Drained in 10ms; 10 more, all Drained; exit 0$/)
      assert.strictEqual(yield* reportJson(many), toJson(many))
    }))
})
