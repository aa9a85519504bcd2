import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { liveRegion, type Screen as Stream } from "../../../src/core/internal/liveRegion.js"
import { Screen } from "../../kit/screen.js"

/** A terminal, what is written to it, and what it shows. */
class Terminal implements Stream {
  readonly screen: Screen
  written = ""
  constructor(public columns: number, rows = 24) {
    this.screen = new Screen({ columns: columns || 80, rows })
  }
  write = (text: Uint8Array | string) => {
    this.written += String(text)
    // As the kernel does.
    this.screen.write(String(text).replaceAll("\n", "\r\n"))
    return true
  }
  resize(columns: number) {
    this.columns = columns
    this.screen.resize(columns)
  }
  get lines() {
    return this.screen.text.split("\n")
  }
}

/** What is drawn in a region, and what else happens at the terminal meanwhile. */
const inRegion = (
  terminal: Terminal,
  body: (draw: (text: string) => Effect.Effect<void>) => Effect.Effect<void>
): Effect.Effect<ReadonlyArray<string>> =>
  Effect.scoped(Effect.gen(function*() {
    yield* body(yield* liveRegion([terminal]))
    return terminal.lines
  }))

describe("liveRegion", () => {
  it.effect("is cut at the width of the terminal", () =>
    Effect.gen(function*() {
      const lines = yield* inRegion(new Terminal(6), (draw) => draw("importer\nhttp"))
      assert.deepStrictEqual(lines, ["impo…", "http"])
    }))

  it.effect("is not cut on a terminal that reports zero columns", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* inRegion(new Terminal(0), (draw) => draw("importer\nhttp")), ["importer", "http"])
    }))

  it.effect("counts the two columns of a wide character", () =>
    Effect.gen(function*() {
      const terminal = new Terminal(8)
      yield* inRegion(terminal, (draw) => draw("数据库连接池\n数据库"))
      assert.strictEqual(terminal.written.split("\x1b")[0], "数据库…\n数据库\n")
    }))

  it.effect("has other output above it, and is gone at the end", () =>
    Effect.gen(function*() {
      const terminal = new Terminal(20)
      const lines = yield* inRegion(terminal, (draw) =>
        Effect.gen(function*() {
          yield* draw("3s left\n  http")
          terminal.write("a log line\n")
          yield* draw("2s left\n  http")
          terminal.write("without its end")
        }))
      assert.deepStrictEqual(lines, ["a log line", "without its end", "2s left", "  http"])
      assert.deepStrictEqual(terminal.lines, ["a log line", "without its end"])
    }))

  it.effect("writes only the lines that have changed, and those of its first and last size", () =>
    Effect.gen(function*() {
      const terminal = new Terminal(20)
      const lines = yield* inRegion(terminal, (draw) =>
        Effect.gen(function*() {
          yield* draw("3s left\n  http\n  database")
          terminal.written = ""
          yield* draw("2s left\n  http\n  database")
          assert.strictEqual(terminal.written, "\x1b[3A\r2s left\x1b[K\n\n\n")
          yield* draw("1s\n  http")
          assert.deepStrictEqual(terminal.lines, ["1s", "  http"])
          yield* draw("0s\n  http\n  database\n  cache")
        }))
      assert.deepStrictEqual(lines, ["0s", "  http", "  database", "  cache"])
    }))

  for (const columns of [30, 13, 9, 60]) {
    it.effect(`leaves nothing behind when the terminal goes from 40 to ${columns} columns and back`, () =>
      Effect.gen(function*() {
        const terminal = new Terminal(40)
        const frame = "SIGINT: draining, 24.9s left (once more)\n  http      draining     1 in flight\n  database"
        const lines = yield* inRegion(terminal, (draw) =>
          Effect.gen(function*() {
            terminal.write("before\n")
            yield* draw(frame)
            terminal.resize(columns)
            yield* draw(frame)
            assert.deepStrictEqual(terminal.lines, [
              "before",
              ...frame.split("\n").map((line) => line.length < columns ? line : `${line.slice(0, columns - 2)}…`)
            ])
            terminal.write("while\n")
            terminal.resize(40)
            terminal.write("after\n")
            yield* draw(frame)
          }))
        assert.deepStrictEqual(lines, [
          "before",
          "while",
          "after",
          "SIGINT: draining, 24.9s left (once mor…",
          "  http      draining     1 in flight",
          "  database"
        ])
        assert.deepStrictEqual(terminal.lines, ["before", "while", "after"])
      }))
  }
})
