import { assert, describe, it } from "@effect/vitest"
import { Either } from "effect"
import * as Columns from "../../../src/programs/importer/columnTypes.js"
import { load } from "./parserWorld.js"

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
