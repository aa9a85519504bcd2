// What a terminal shows of a shutdown.
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Logger, Option, Scope, TestClock } from "effect"
import * as Drain from "../../src/core/Drain.js"
import type { Terminal } from "../../src/core/Host.js"
import * as Lifecycle from "../../src/core/Lifecycle.js"
import * as Shutdown from "../../src/core/Shutdown.js"
import { drawShutdown } from "../../src/programs/internal/output.js"

/** A terminal of this height, and what is drawn there when. */
const terminalWith = (
  rows: number,
  drawn: Array<readonly [number, string]>,
  { columns = 80, takes = 0 }: { readonly columns?: number; readonly takes?: number } = {}
): Terminal => ({
  columns,
  rows,
  colors: false,
  print: () => Effect.void,
  liveRegion: Option.some(Effect.succeed((text) =>
    Effect.zipRight(
      Effect.map(Clock.currentTimeMillis, (at) => void drawn.push([at, text])),
      takes === 0 ? Effect.void : Effect.sleep(takes)
    )
  ))
})

/** Draws the drain of resources with these names, and two units of work in flight in each. */
const draining = (names: ReadonlyArray<string>, drawn: Array<readonly [number, string]>, columns: number) =>
  Effect.gen(function*() {
    const lifecycle = yield* Lifecycle.make({ gracePeriod: "25 seconds" })
    const scope = yield* Scope.make()
    const progress = () => ({ inFlight: 2, finished: 0, handedBack: 0, cut: 0 })
    yield* Effect.forEach(
      names,
      (name) => Drain.acquire({ name, acquire: Effect.void, drain: () => Effect.sleep("10 seconds"), progress })
    ).pipe(
      Scope.extend(scope),
      Effect.provideService(Shutdown.Shutdown, lifecycle.shutdown)
    )
    yield* lifecycle.transition("Running")
    yield* lifecycle.shutdown.begin({ reason: "SIGINT" })
    yield* lifecycle.transition("Draining")
    yield* Effect.forkDaemon(Scope.close(scope, Exit.void))
    yield* Effect.forkScoped(drawShutdown(lifecycle, terminalWith(24, drawn, { columns })))
    yield* TestClock.adjust("1 millis")
  })

describe("the shutdown on a terminal", () => {
  it.effect("is drawn ten times a second, and a last time when the service has stopped", () =>
    Effect.gen(function*() {
      const lifecycle = yield* Lifecycle.make({ gracePeriod: "25 seconds" })
      yield* lifecycle.transition("Running")
      yield* lifecycle.shutdown.begin({ reason: "SIGINT" })
      yield* lifecycle.transition("Draining")
      const drawn: Array<readonly [number, string]> = []
      const drawing = yield* Effect.fork(drawShutdown(lifecycle, terminalWith(24, drawn)))
      yield* TestClock.adjust("250 millis")
      yield* lifecycle.transition("Stopped")
      yield* Fiber.join(drawing)
      assert.deepStrictEqual(drawn.map(([at]) => at), [0, 100, 200, 250])
      assert.include(drawn[0]![1], "SIGINT")
    }))

  it.scoped("fits the terminal: resources that are being released are shown, then those that did not end well", () =>
    Effect.gen(function*() {
      const lifecycle = yield* Lifecycle.make({ gracePeriod: "25 seconds" })
      const scope = yield* Scope.make()
      const release = (n: number) => n === 2 ? Effect.sleep("1 second") : n === 4 ? Effect.fail("no") : Effect.void
      yield* Effect.forEach(
        Array.from({ length: 6 }, (_, index) => index),
        (n) => Drain.acquire({ name: `r${n}`, acquire: Effect.void, release: () => release(n) })
      ).pipe(
        Scope.extend(scope),
        Effect.provideService(Shutdown.Shutdown, lifecycle.shutdown)
      )
      yield* lifecycle.transition("Running")
      yield* lifecycle.shutdown.begin({ reason: "SIGINT" })
      yield* lifecycle.transition("Draining")
      const drawn: Array<readonly [number, string]> = []
      yield* Effect.forkDaemon(Scope.close(scope, Exit.void))
      yield* Effect.forkScoped(drawShutdown(lifecycle, terminalWith(6, drawn)))
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(drawn.at(-1)![1].split("\n"), [
        "SIGINT: draining, 24.9s left  (once more: stop waiting)",
        "  ● r4  Drained      0ms",
        "  ◕ r2  releasing",
        "  ○ r1  open",
        "  … and 3 more: 2 Drained, 1 open"
      ])
    }))

  it.effect("is drawn less often on a terminal that takes long, so that the event loop has time to drain", () =>
    Effect.gen(function*() {
      const lifecycle = yield* Lifecycle.make({ gracePeriod: "25 seconds" })
      yield* lifecycle.shutdown.begin({ reason: "SIGINT" })
      const drawn: Array<readonly [number, string]> = []
      yield* Effect.fork(drawShutdown(lifecycle, terminalWith(24, drawn, { takes: 50 })))
      yield* TestClock.adjust("1200 millis")
      assert.deepStrictEqual(drawn.map(([at]) => at), [0, 500, 1000])
    }))

  it.scoped("on a narrow terminal cuts the names, and not what is in flight", () =>
    Effect.gen(function*() {
      const drawn: Array<readonly [number, string]> = []
      yield* draining(
        ["database", "数据库连接池的名称很长很长很长很长", "importer of the files\n of customers"],
        drawn,
        40
      )
      assert.deepStrictEqual(drawn.at(-1)![1].split("\n"), [
        "SIGINT: draining, 25.0s left  (once more: stop waiting)",
        "  ◑ importer…  draining     2 in flight",
        "  ○ 数据库连…  open         2 in flight",
        "  ○ database   open         2 in flight"
      ])
    }))

  it.scoped("that cannot move its cursor is a log line for each event", () =>
    Effect.gen(function*() {
      const lines: Array<unknown> = []
      const logger = Logger.make(({ message }) => void lines.push(...[message].flat()))
      const lifecycle = yield* Lifecycle.make({ gracePeriod: "25 seconds" })
      yield* lifecycle.transition("Running")
      const plain: Terminal = {
        ...terminalWith(24, []),
        print: (text) => Effect.sync(() => void lines.push(text)),
        liveRegion: Option.none()
      }
      yield* lifecycle.shutdown.begin({ reason: "SIGINT" })
      const showing = yield* Effect.fork(
        Effect.provide(drawShutdown(lifecycle, plain), Logger.replace(Logger.defaultLogger, logger))
      )
      yield* lifecycle.transition("Draining")
      yield* lifecycle.transition("Stopped")
      yield* Fiber.join(showing)
      assert.deepStrictEqual(lines, ["", "shutdown requested: SIGINT", "Draining", "Stopped"])
    }))
})
