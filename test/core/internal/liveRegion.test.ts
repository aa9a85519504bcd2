import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { liveRegion, type Screen } from "../../../src/core/internal/liveRegion.js"

const drawn = (columns: number, text: string) =>
  Effect.scoped(Effect.gen(function*() {
    const written: Array<string> = []
    const screen: Screen = { columns, write: (piece: Uint8Array | string) => written.push(String(piece)) > 0 }
    const draw = yield* liveRegion([screen])
    yield* draw(text)
    return written.join("")
  }))

describe("liveRegion", () => {
  it.effect("is cut at the width of the terminal", () =>
    Effect.map(drawn(6, "importer\nhttp"), (text) => assert.strictEqual(text, "impor\nhttp\n")))

  it.effect("is not cut on a terminal that reports zero columns", () =>
    Effect.map(drawn(0, "importer\nhttp"), (text) => assert.strictEqual(text, "importer\nhttp\n")))
})
