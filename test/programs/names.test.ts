import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, LogLevel } from "effect"
import * as Drain from "../../src/core/Drain.js"
import * as TestApp from "../../src/testing/TestApp.js"

const names = ["app", "SIGTERM", "scope", "start"]

describe("resources with the names of the lifecycle", () => {
  it.scoped("hide none of its lines, and are reported by their own", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const log = Logger.make(({ message }) => void lines.push(String(message)))
      const resources = Layer.mergeAll(
        Layer.empty,
        ...names.map((name) =>
          Layer.scopedDiscard(Drain.acquire({ name, acquire: Effect.void, drain: () => Effect.sleep("1 second") }))
        )
      )
      const app = yield* TestApp.start(
        resources.pipe(Layer.provide(Logger.replace(Logger.defaultLogger, log)))
      ).pipe(Logger.withMinimumLogLevel(LogLevel.Debug))
      yield* app.signal("SIGTERM")
      const report = yield* app.report
      yield* app.exit
      assert.deepStrictEqual(report.drains.map(({ name }) => name).toSorted(), names.toSorted())
      assert.deepStrictEqual(
        lines.filter((line) => !names.some((name) => [`${name} draining`, `${name} Drained in 1s`].includes(line))),
        [
          "running; stops within 25s of SIGTERM, SIGINT, SIGHUP",
          "SIGTERM received",
          "shutdown requested: SIGTERM",
          "Draining",
          "Stopped",
          "stopped"
        ]
      )
      assert.deepStrictEqual(
        (yield* app.journal).filter((line) => /app|SIGTERM/.test(line)).toSorted(),
        [
          "0ms SIGTERM draining",
          "0ms SIGTERM received",
          "0ms app Draining",
          "0ms app Running",
          "0ms app draining",
          "0ms app shutdown requested: SIGTERM",
          "1s SIGTERM Drained",
          "1s app Drained",
          "1s app Stopped"
        ]
      )
    }))
})
