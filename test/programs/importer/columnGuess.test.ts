import { assert, describe, it } from "@effect/vitest"
import { Either } from "effect"
import { guess } from "../../../src/programs/importer/columnGuess.js"
import { parse } from "../../../src/programs/importer/columnTypes.js"

const of = (format: "csv" | "ndjson", text: string, truncated = false) => guess(format, Buffer.from(text), truncated)

/** The columns as a declaration, in which `!` marks one that cannot be declared. */
const columns = (...parameters: Parameters<typeof of>) =>
  Either.map(
    of(...parameters),
    (found) =>
      found.columns.map(({ declarable, name, optional, type }) =>
        `${name}:${type}${optional ? "?" : ""}${declarable ? "" : "!"}`
      )
  )

describe("a guess of the columns of a CSV file", () => {
  it("is the narrowest type that every value has", () => {
    const file = "id,price,ok,day,name,mixed\n1,1.50,true,2024-02-29,Ada,1\n-2,.5,FALSE,2024-03-01,2024-03-01,x\n"
    assert.deepStrictEqual(
      columns("csv", file),
      Either.right(["id:integer", "price:number", "ok:boolean", "day:date", "name:string", "mixed:string"])
    )
  })

  it("leaves digits as they are that a number would lose", () => {
    const file = "zip,phone,zero,half\n01234,+49170,0,0.5\n"
    assert.deepStrictEqual(
      columns("csv", file),
      Either.right(["zip:string", "phone:string", "zero:integer", "half:number"])
    )
  })

  it("is optional where a value is empty, and a string where all are", () => {
    assert.deepStrictEqual(columns("csv", "a,b\n1,\n,\n"), Either.right(["a:integer?", "b:string?"]))
  })

  it("says which names an upload cannot declare", () => {
    assert.deepStrictEqual(
      columns("csv", "\"a,b\",\"c:d\"\n1,2\n"),
      Either.right(["a,b:integer!", "c:d:integer"])
    )
  })

  it("skips rows that would be rejected, and the row that the end of the sample cuts", () => {
    assert.deepStrictEqual(
      columns("csv", "a,b\n1,2\nx\n3,4\n5,not a numb", true),
      Either.right(["a:integer", "b:integer"])
    )
  })

  it("shows the first rows", () => {
    const rows = Array.from({ length: 9 }, (_, i) => [String(i), "a,b"])
    const file = `n,text\n${rows.map(([n, text]) => `${n},"${text}"\n`).join("")}`
    assert.deepStrictEqual(Either.map(of("csv", file), ({ rows }) => rows), Either.right(rows.slice(0, 5)))
  })

  it("fails for what an upload would be refused for", () => {
    assert.deepStrictEqual(of("csv", ""), Either.left("the file is empty: it has no header"))
    assert.deepStrictEqual(of("csv", "1,2\n"), Either.left("the first line is not a header: it contains only numbers"))
    assert.deepStrictEqual(
      of("csv", "a".repeat(100), true),
      Either.left("the first line is too long to guess its columns")
    )
    assert.deepStrictEqual(of("ndjson", "\n"), Either.left("the file is empty"))
  })
})

describe("a guess of the columns of an NDJSON file", () => {
  it("has the types of the members of all objects", () => {
    const file = "{\"a\":1,\"b\":\"2024-01-01\"}\n[1]\nnot json\n{\"a\":1.5,\"c\":{\"d\":true},\"e\":null}\n"
    assert.deepStrictEqual(columns("ndjson", file), Either.right(["a:number", "b:date?", "c:string?", "e:string?"]))
    assert.deepStrictEqual(
      Either.map(of("ndjson", file), ({ rows }) => rows),
      Either.right([["1", "2024-01-01", "", ""], ["1.5", "", "{\"d\":true}", "null"]])
    )
  })
})

it("every guess that is declarable is a declaration that an upload accepts", () => {
  const found = columns("csv", "a b,c:d,e?,f\n1,2.5,true,2024-01-01\n")
  assert.isTrue(Either.isRight(Either.flatMap(found, (columns) => parse(columns.join(",")))))
})
