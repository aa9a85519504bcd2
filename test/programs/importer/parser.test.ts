import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { maxRowBytes, maxSearchBytes } from "../../../src/programs/importer/parser/recordReader.js"
import { bytes, load, readFrom } from "./parserWorld.js"

describe("CSV", () => {
  const table: ReadonlyArray<readonly [behaviour: string, file: string | Uint8Array, expected: unknown]> = [
    ["plain rows", "a,b\n1,2\n3,4\n", [{ a: "1", b: "2" }, { a: "3", b: "4" }]],
    ["a last line without an end", "a,b\n1,2\n3,4", [{ a: "1", b: "2" }, { a: "3", b: "4" }]],
    ["CRLF", "a,b\r\n1,2\r\n", [{ a: "1", b: "2" }]],
    ["a byte order mark", "\ufeffa,b\n1,2\n", [{ a: "1", b: "2" }]],
    ["quotes, commas and newlines in quotes", "a,b\n\"x,\"\"y\"\"\",\"l1\nl2\r\nl3\"\n", [{
      a: "x,\"y\"",
      b: "l1\nl2\r\nl3"
    }]],
    ["empty values, also quoted", "a,b\n,\"\"\n", [{ a: "", b: "" }]],
    ["blank lines, which are skipped", "\n\na,b\n\n1,2\n\r\n\n3,4\n\n", [{ a: "1", b: "2" }, { a: "3", b: "4" }]],
    ["UTF-8", "näme,b\nجوهر,𝄞\n", [{ näme: "جوهر", b: "𝄞" }]],
    ["names an object has already", "__proto__,constructor\n1,2\n", [
      JSON.parse("{\"__proto__\":\"1\",\"constructor\":\"2\"}")
    ]],
    ["a header and no row", "a,b\n", []],
    ["too few and too many fields", "a,b\n1\n1,2,3\n3,4\n", [
      "!expected 2 fields as in the header, but found 1",
      "!expected 2 fields as in the header, but found 3",
      { a: "3", b: "4" }
    ]],
    ["text after a closing quote", "a,b\n\"x\"y,2\n3,4\n", [
      "!broken quoting: text after a closing quote",
      { a: "3", b: "4" }
    ]],
    ["a quote inside a value", "a,b\nx\"y,2\n3,4\n", [
      "!broken quoting: a quote inside an unquoted value",
      { a: "3", b: "4" }
    ]],
    ["a quote that is never closed, which costs its own row", "a,b\n1,\"x\n3,4\n5,6\n", [
      "!broken quoting: a quote is never closed",
      { a: "3", b: "4" },
      { a: "5", b: "6" }
    ]],
    ["a quote that is never closed in the last row", "a,b\n3,4\n1,\"x", [
      { a: "3", b: "4" },
      "!broken quoting: a quote is never closed"
    ]],
    ["a quote that is not closed before other quotes", "a,b\n1,\"x\n3,\"y\"\n5,6\n", [
      "!broken quoting: text after a closing quote",
      { a: "3", b: "y" },
      { a: "5", b: "6" }
    ]],
    ["bytes that are not UTF-8", Buffer.concat([bytes("a,b\n1,"), Buffer.from([0xff, 0xc3]), bytes("\n3,4\n")]), [
      "!the row is not valid UTF-8",
      { a: "3", b: "4" }
    ]],
    ["a NUL character", "a,b\n1,x\0y\n3,\\u0000\n", ["!the row contains a NUL character", { a: "3", b: "\\u0000" }]],
    ["an empty file", "", "the file is empty: it has no header"],
    ["a file of blank lines", "\n\r\n\n", "the file is empty: it has no header"],
    ["a byte order mark alone", "\ufeff", "the file is empty: it has no header"],
    ["a header without a name", "a,,c\n1,2,3\n", "the header has no name for column 2"],
    ["a header with a name twice", "a,b,a\n1,2,3\n", "the header names the column \"a\" twice"],
    ["a header of numbers", "1,2\n3,4\n", "the first line is not a header: it contains only numbers"],
    [
      "a header with broken quoting",
      "a,\"b\n1,2\n",
      "the header cannot be read: broken quoting: a quote is never closed"
    ],
    ["UTF-16", Buffer.from("\ufeffa,b\n1,2\n", "utf16le"), "the header cannot be read: the row is not valid UTF-8"]
  ]
  for (const [behaviour, file, expected] of table) {
    it(`reads ${behaviour}`, () => {
      assert.deepStrictEqual(load(file), expected)
      assert.deepStrictEqual(load(file, "csv", "", [1]), expected)
    })
  }

  it("takes a row of 1 MiB and rejects a larger one, quoted or not, without stopping at it", () => {
    const row = (size: number, quote = "") => `1,${quote}${"x".repeat(size - 2 - 2 * quote.length)}${quote}`
    const file = [
      "a,b",
      row(maxRowBytes),
      row(maxRowBytes + 1),
      row(maxRowBytes + 1, "\""),
      row(maxSearchBytes + 1),
      row(maxSearchBytes + 99_999, "\""),
      `1,"${"line\n".repeat(maxRowBytes / 4)}"`,
      "3,4"
    ].join("\n")
    const rows = load(file)
    if (typeof rows === "string") return assert.fail(rows)
    assert.deepStrictEqual(rows.slice(1), [
      ...Array.from({ length: 5 }, () => "!the row is larger than 1 MiB"),
      { a: "3", b: "4" }
    ])
    assert.deepStrictEqual(load(file, "csv", "", [30_000_000]), rows)
  })

  it("an unclosed quote at the beginning of a large file costs its own row", () => {
    const lines = Array.from({ length: 50_000 }, (_, index) => `${index},${"some value".repeat(10)}`)
    for (const sizes of [[65_536], [9_999_991]]) {
      const rows = load(["a,b", "0,\"open", ...lines].join("\n"), "csv", "", sizes)
      assert.strictEqual(rows.length, lines.length + 1)
      assert.deepStrictEqual(rows.slice(0, 2), [
        "!broken quoting: a quote is never closed",
        { a: "0", b: "some value".repeat(10) }
      ])
    }
  })
})

describe("NDJSON", () => {
  const table: ReadonlyArray<readonly [behaviour: string, file: string | Uint8Array, expected: unknown]> = [
    ["objects, blank lines between them", "{\"a\":1}\n\n  \r\n{\"b\":[{}]}\r\n", [{ a: 1 }, { b: [{}] }]],
    ["a byte order mark", "\ufeff{\"a\":1}", [{ a: 1 }]],
    ["values that are not objects", "[1]\nnull\n1\n\"x\"\n{}\n", [
      "!not a JSON object",
      "!not a JSON object",
      "!not a JSON object",
      "!not a JSON object",
      {}
    ]],
    ["lines that are not JSON", "{\"a\":\n{a:1}\n{\"a\":1} {}\n{}\n", [
      "!not valid JSON",
      "!not valid JSON",
      "!not valid JSON",
      {}
    ]],
    ["bytes that are not UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d, 0x0a, 0x7b, 0x7d]), [
      "!the row is not valid UTF-8",
      {}
    ]],
    [
      "escapes that the database cannot store",
      "{\"a\":\"\\u0000\"}\n{\"a\":\"\\ud800x\"}\n{\"a\":\"x\\udc00\"}\n{}\n",
      [
        "!the row contains a NUL character",
        "!the row contains half of a character",
        "!the row contains half of a character",
        {}
      ]
    ],
    ["escapes that only look like those", "{\"a\":\"\\\\u0000\",\"b\":\"\\ud83d\\ude00\"}\n", [{
      a: "\\u0000",
      b: "😀"
    }]],
    ["numbers out of range", "{\"a\":1e999}\n{\"a\":1e-999}\n", ["!a number is out of range", { a: 0 }]],
    ["nesting without end", `${"{\"a\":".repeat(5000)}1${"}".repeat(5000)}\n{}\n`, [
      "!the object is nested more than 100 levels deep",
      {}
    ]],
    ["an empty file", "", "the file is empty"],
    ["a file of blank lines", " \n\r\n", "the file is empty"]
  ]
  for (const [behaviour, file, expected] of table) {
    it(`reads ${behaviour}`, () => {
      assert.deepStrictEqual(load(file, "ndjson"), expected)
      assert.deepStrictEqual(load(file, "ndjson", "", [1]), expected)
    })
  }

  it("keeps the digits of a long number", () => {
    const line = "{\"id\":12345678901234567890,\"price\":0.10}"
    const [row] = readFrom(line, { format: "ndjson", names: [], columns: [] }, 0, [10])
    assert.strictEqual(row?.value, line)
  })

  it("rejects a row over 1 MiB, without stopping at it", () => {
    const line = (size: number) => `{"a":"${"x".repeat(size - 8)}"}`
    const file = [line(maxRowBytes + 1), line(2 * maxSearchBytes), "{}"].join("\n")
    const expected = ["!the row is larger than 1 MiB", "!the row is larger than 1 MiB", {}]
    assert.deepStrictEqual(load(file, "ndjson"), expected)
    assert.deepStrictEqual(load(file, "ndjson", "", [20_000_000]), expected)
  })
})

describe("any file", () => {
  // Fragments of everything that matters to a parser, in all neighbourhoods.
  const token = fc.constantFrom(
    "a",
    "1",
    ",",
    ",",
    "\"",
    "\"\"",
    "\n",
    "\n",
    "\r\n",
    "\r",
    "é",
    "𝄞",
    "\0",
    " ",
    "{}",
    "{\"a\":1}",
    "\ufeff"
  )
  const file = fc.array(token, { maxLength: 60 }).map((tokens) => tokens.join(""))
  const sizes = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 8 })

  for (const format of ["csv", "ndjson"] as const) {
    it(`${format}: in chunks of any size, has the same rows`, () => {
      fc.assert(
        fc.property(file, sizes, (file, sizes) => {
          const text = format === "csv" ? `a,b\n${file}` : file
          assert.deepStrictEqual(load(text, format, "", sizes), load(text, format))
        }),
        { numRuns: 300 }
      )
    })

    it(`${format}: read from the end of any row, has the rows that follow`, () => {
      fc.assert(
        fc.property(file, sizes, (file, sizes) => {
          const layout = { format, names: ["a", "b"], columns: [] }
          const seen = (offset: number) =>
            readFrom(file, layout, offset, sizes).map(({ end, value }) => [end, value] as const)
          const all = seen(0)
          for (const [index, [end]] of all.entries()) {
            assert.deepStrictEqual(seen(end), all.slice(index + 1))
          }
        }),
        { numRuns: 100 }
      )
    })
  }
})
