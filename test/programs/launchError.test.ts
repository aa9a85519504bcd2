import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Data, Effect, Layer, Logger, LogLevel, Queue } from "effect"
import type { HostEvent } from "../../src/core/Host.js"
import { Shutdown } from "../../src/core/Shutdown.js"
import type { Options } from "../../src/core/ShutdownConfig.js"
import { onMemoryHost } from "../../src/programs/internal/memoryHost.js"
import { launch } from "../../src/programs/launch.js"

class NoTable extends Data.TaggedError("NoTable")<{ readonly message: string }> {}

const noTable = new NoTable({ message: "no such table: imports" })

/** Launches the layer, with one event of its host, and returns the message and the cause of its LaunchError. */
const failureOf = <E>(layer: Layer.Layer<never, E>, event?: HostEvent, options?: Options) =>
  Effect.gen(function*() {
    const events = yield* Queue.unbounded<HostEvent>()
    if (event !== undefined) yield* Queue.offer(events, event)
    const { cause, message } = yield* layer.pipe(
      launch(options),
      Effect.flip,
      onMemoryHost({ listen: () => Effect.succeed(events), exit: () => Effect.never })
    )
    return [message, cause]
  }).pipe(Logger.withMinimumLogLevel(LogLevel.None))

describe("The cause of a LaunchError is the original error", () => {
  it.effect("of a layer that fails, or dies", () =>
    Effect.gen(function*() {
      const expected = ["cannot start: no such table: imports", noTable]
      assert.deepStrictEqual(yield* failureOf(Layer.effectDiscard(noTable)), expected)
      assert.deepStrictEqual(yield* failureOf(Layer.effectDiscard(Effect.die(noTable))), expected)
    }))

  it.effect("of options that are refused", () =>
    Effect.gen(function*() {
      const [message, cause] = yield* failureOf(Layer.empty, undefined, { preStopDelay: "1 hour" })
      assert.propertyVal(cause, "_tag", "BudgetError")
      assert.match(String(message), /^cannot start: gracePeriod 25s leaves no time to drain/)
    }))

  it.effect("of a secret that is not set, or is invalid, without its value", () =>
    Effect.gen(function*() {
      const messageOf = (config: Config.Config<unknown>, map: Map<string, string>) =>
        Effect.map(
          Effect.withConfigProvider(failureOf(Layer.effectDiscard(config)), ConfigProvider.fromMap(map)),
          ([message]) => message
        )
      const key = Config.redacted("API_KEY")
      const port = Config.nested(Config.redacted(Config.integer("PORT")), "DB")
      assert.deepStrictEqual(
        [
          yield* messageOf(key, new Map()),
          yield* messageOf(Config.all([key, Config.string("HOST")]), new Map()),
          yield* messageOf(port, new Map([["DB.PORT", "s3cret"]]))
        ],
        [
          "cannot start: API_KEY: is not set",
          "cannot start: API_KEY: is not set; HOST: Expected HOST to exist in the provided map",
          "cannot start: DB.PORT: is not valid; its value is a secret"
        ]
      )
    }))

  it.effect("that was uncaught", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* failureOf(Layer.empty, { _tag: "Uncaught", error: noTable }), [
        "uncaught error: no such table: imports",
        noTable
      ])
    }))

  it.effect("of a finalizer", () =>
    Effect.gen(function*() {
      const layer = Layer.scopedDiscard(Effect.addFinalizer(() => Effect.die(noTable)))
      assert.deepStrictEqual(yield* failureOf(layer, { _tag: "Signal", signal: "SIGTERM" }), [
        "a finalizer failed: no such table: imports",
        noTable
      ])
    }))

  it.effect("of a component that gives up, if it names one", () =>
    Effect.gen(function*() {
      const givesUp = (cause: { readonly cause?: unknown }) =>
        Layer.effectDiscard(
          Effect.flatMap(Shutdown, (_) => _.begin({ reason: "pool", failure: "pool: stuck", ...cause }))
        )
      assert.deepStrictEqual(yield* failureOf(givesUp({ cause: noTable })), ["pool: stuck", noTable])
      assert.deepStrictEqual(yield* failureOf(givesUp({})), ["pool: stuck", undefined])
    }))
})
