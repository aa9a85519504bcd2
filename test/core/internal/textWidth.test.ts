import { assert, describe, it } from "vitest"
import { cutAt, oneLine, padTo, textWidth, wrapAt } from "../../../src/core/internal/textWidth.js"

describe("a text on a terminal", () => {
  it("takes two columns for a wide character, and none for an accent of its own", () => {
    assert.deepStrictEqual(["http", "数据库", "cafe\u0301", "🚀", "ﾃﾞｰﾀ", "● ○ …"].map(textWidth), [4, 6, 4, 2, 4, 5])
  })

  it("is cut with a sign that says so, never inside of a character", () => {
    assert.deepStrictEqual(["http", "importer", "数据库", "🚀🚀🚀"].map((text) => cutAt(text, 5)), [
      "http",
      "impo…",
      "数据…",
      "🚀🚀…"
    ])
    assert.deepStrictEqual([cutAt("http", 0), cutAt("", 0), padTo("数据库", 5), padTo("数", 5)], [
      "…",
      "",
      "数据…",
      "数   "
    ])
  })

  it("is one line without control characters", () => {
    assert.strictEqual(oneLine("a\u001b[31mb\u001b[0m \r\n\tc\u0007d"), "ab c d")
  })

  it("is broken between words, and inside of a word that is too long", () => {
    assert.deepStrictEqual(wrapAt("drain not done within 2s", 10), ["drain not", "done", "within 2s"])
    assert.deepStrictEqual(wrapAt("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"])
    assert.deepStrictEqual([wrapAt("", 4), wrapAt("abc", 0)], [[""], ["abc"]])
  })
})
