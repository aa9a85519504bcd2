import { assert, describe, it } from "@effect/vitest"
import { Either, FastCheck as fc } from "effect"
import * as Columns from "../../../src/programs/importer/columnTypes.js"
import { Broken, maxRowBytes, maxSearchBytes } from "../../../src/programs/importer/parser/recordReader.js"
import { inspectFile, rowReader } from "../../../src/programs/importer/parser/rows.js"

type Format = "csv" | "ndjson"

const bytes = (text: string | Uint8Array) => Buffer.from(text as string)

/** The file in chunks, whose sizes are `sizes` in turn. */
const cut = (file: Buffer, sizes: ReadonlyArray<number>) => {
  const pieces: Array<Buffer> = []
  for (let at = 0, i = 0; at < file.length; i++) {
    const size = sizes[i % sizes.length]!
    pieces.push(file.subarray(at, at + size))
    at += size
  }
  return pieces
}

/** The rows of a file: the JSON of each, or `!` and the reason; or why the file is invalid. */
const load = (
  file: string | Uint8Array,
  format: Format = "csv",
  spec = "",
  sizes: ReadonlyArray<number> = [65_536]
) => {
  const columns = Either.getOrThrow(Columns.parse(spec))
  const pieces = cut(bytes(file), sizes)
  const inspector = inspectFile(format, columns)
  for (const piece of pieces) {
    const seen = inspector.push(piece)
    if (Either.isLeft(seen)) return seen.left
  }
  const summary = inspector.end()
  if (Either.isLeft(summary)) return summary.left
  const { names, offset, rows } = summary.right
  const found = readFrom(file, { format, names, columns }, offset, sizes)
  assert.strictEqual(found.length, rows, "the upload counted what the job found")
  return found.map((row) => row.value instanceof Broken ? `!${row.value.reason}` : JSON.parse(row.value) as unknown)
}

const readFrom = (
  file: string | Uint8Array,
  layout: Parameters<typeof rowReader>[0],
  offset: number,
  sizes: ReadonlyArray<number>
) => {
  const rows = rowReader(layout, offset)
  return [...cut(bytes(file).subarray(offset), sizes).flatMap((piece) => rows.push(piece)), ...rows.end()]
}

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

describe("declared column types", () => {
  const spec = "n:number,i:integer,b:boolean,d:date,s:string"

  it("are the types of the values in the database; a value of another type rejects its row", () => {
    const wrong = (column: string, expected: string, found: string) =>
      `!${column}: expected ${expected}, but found "${found}"`
    assert.deepStrictEqual(
      load("n,i,b,d,s\n-1.50,+007,TRUE,2024-02-29,x\n.5,0,false,1999-12-31,\n", "csv", spec),
      [{ n: -1.5, i: 7, b: true, d: "2024-02-29", s: "x" }, { n: 0.5, i: 0, b: false, d: "1999-12-31", s: "" }]
    )
    assert.deepStrictEqual(
      load(
        "n,i,b,d,s\nx,1,true,2024-01-01,\n1,1.5,true,2024-01-01,\n1,1,yes,2024-01-01,\n1,1,true,2023-02-29,\n,1,,,\n1e999,1,,,",
        "csv",
        spec
      ),
      [
        wrong("n", "a number", "x"),
        wrong("i", "an integer", "1.5"),
        wrong("b", "true or false", "yes"),
        wrong("d", "a date such as 2024-02-29", "2023-02-29"),
        wrong("n", "a number", ""),
        wrong("n", "a number", "1e999")
      ]
    )
    assert.deepStrictEqual(
      load(
        "{\"n\":1,\"i\":2,\"b\":true,\"d\":\"2024-02-29\",\"s\":\"\"}\n{\"n\":\"1\"}\n{}\n{\"n\":1,\"i\":1.5}\n",
        "ndjson",
        spec
      ),
      [
        { n: 1, i: 2, b: true, d: "2024-02-29", s: "" },
        "!n: expected a number, but found \"1\"",
        "!n: expected a number, but found nothing",
        "!i: expected an integer, but found 1.5"
      ]
    )
  })

  it("with a question mark accept an empty value", () => {
    assert.deepStrictEqual(load("n,x\n,1\n2,1\nz,1\n", "csv", "n:number?"), [
      { n: null, x: "1" },
      { n: 2, x: "1" },
      "!n: expected a number, but found \"z\""
    ])
    assert.deepStrictEqual(load("{}\n{\"n\":null}\n", "ndjson", "n:number?"), [{}, { n: null }])
  })

  it("fail a file without such a column; an invalid declaration fails with what was expected", () => {
    assert.strictEqual(
      load("a,b\n1,2\n", "csv", "c:date"),
      "the header has no column \"c\", whose type was declared"
    )
    const refused = (spec: string) => Either.getOrNull(Either.flip(Columns.parse(spec)))
    assert.strictEqual(refused("a"), "expected name:type, but received \"a\"")
    assert.strictEqual(
      refused("a:float"),
      "a: expected one of string, number, integer, boolean, date, but received \"float\""
    )
    assert.strictEqual(refused("a:date,a:date"), "the column \"a\" is declared twice")
    assert.strictEqual(refused(""), null)
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
