import { SqlSchema } from "@effect/sql"
import { assert } from "@effect/vitest"
import { Effect, Schema, Stream, String } from "effect"
import pg from "pg"
import type { SqlCase } from "./sqlCase.js"

const conversions = {
  transformQueryNames: String.camelToSnake,
  transformResultNames: String.snakeToCamel,
  types: {
    getTypeParser:
      ((oid: number, format: "text") =>
        oid === 20 ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser
  }
}

/** The options that convert names and types. */
export const conversionCases: ReadonlyArray<SqlCase> = [
  {
    situation: "`transformQueryNames`, `transformResultNames`, `types`",
    behavior: "convert names in statements, rows, streams and JSON, but not under `withoutTransforms`; and values",
    test: ({ open }) =>
      Effect.gen(function*() {
        const sql = yield* open(conversions)
        yield* sql`DROP TABLE IF EXISTS people`
        yield* sql`CREATE TABLE people (id bigint, first_name text, home_address jsonb)`
        const homeAddress = { streetName: "Main", rooms: [{ floorNumber: 1 }] }
        yield* sql`INSERT INTO people ${sql.insert({ id: 1, firstName: "Ada", homeAddress: sql.json(homeAddress) })}`
        const find = SqlSchema.single({
          Request: Schema.Number,
          Result: Schema.Struct({ id: Schema.Number, firstName: Schema.String, homeAddress: Schema.Unknown }),
          execute: (id) => sql`SELECT * FROM people WHERE id = ${id}`
        })
        assert.deepStrictEqual(yield* sql.withTransaction(find(1)), { id: 1, firstName: "Ada", homeAddress })
        assert.deepStrictEqual(
          yield* sql.withoutTransforms()`SELECT home_address::text AS stored, first_name FROM people`,
          [{ stored: `{"rooms": [{"floor_number": 1}], "street_name": "Main"}`, first_name: "Ada" }]
        )
        const streamed = yield* Stream.runCollect(sql`SELECT first_name, id FROM people`.stream)
        assert.deepStrictEqual([...streamed], [{ firstName: "Ada", id: 1 }])
      })
  }
]
