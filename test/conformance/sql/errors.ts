import type { SqlClient } from "@effect/sql"
import { assert } from "@effect/vitest"
import { Effect, Predicate } from "effect"
import { makeTable, type SqlCase } from "./sqlCase.js"

const code = (error: object) =>
  Predicate.hasProperty(error, "cause") && Predicate.hasProperty(error.cause, "code") && error.cause.code

/** A table with each kind of constraint. */
const makeConstrained = (sql: SqlClient.SqlClient) =>
  Effect.gen(function*() {
    const name = `constrained_${Math.random().toString(36).slice(2)}`
    yield* sql`CREATE TABLE ${sql(name)} (
      id integer CONSTRAINT ${sql(`${name}_id`)} PRIMARY KEY CHECK (id < 100),
      parent integer REFERENCES ${sql(name)},
      named text NOT NULL
    )`
    yield* sql`INSERT INTO ${sql(name)} VALUES (1, NULL, 'one')`
    return name
  })

/** How statements fail. */
export const errors: ReadonlyArray<SqlCase> = [
  {
    situation: "an error of the server",
    behavior:
      "is a `SqlError` whose `cause` has the SQLSTATE (`code`), and the constraint, table, column, detail and position",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const name = yield* makeConstrained(sql)
        const table = sql(name)
        const failing = {
          "23505": sql`INSERT INTO ${table} VALUES (1, NULL, 'again')`,
          "23503": sql`INSERT INTO ${table} VALUES (2, 7, 'orphan')`,
          "23502": sql`INSERT INTO ${table} (id) VALUES (3)`,
          "23514": sql`INSERT INTO ${table} VALUES (100, NULL, 'big')`,
          "22012": sql`SELECT 1 / ${0}::int`,
          "22P02": sql`SELECT ${"x"}::int`,
          "22003": sql`SELECT ${"99999999999"}::int`,
          "42P01": sql`SELECT * FROM nowhere`,
          "42703": sql`SELECT nothing FROM ${table}`,
          "42601": sql`SELEC 1`,
          "P0001": sql.unsafe("DO $$ BEGIN RAISE EXCEPTION 'stop' USING HINT = 'go'; END $$")
        }
        for (const [expected, statement] of Object.entries(failing)) {
          const error = yield* Effect.flip(statement)
          assert.deepStrictEqual([error._tag, code(error)], ["SqlError", expected])
        }
        const { cause: unique } = yield* Effect.flip(failing["23505"])
        assert.deepInclude(unique as object, {
          severity: "ERROR",
          constraint: `${name}_id`,
          table: name,
          schema: "public",
          detail: "Key (id)=(1) already exists."
        })
        assert.propertyVal((yield* Effect.flip(failing["23502"])).cause, "column", "named")
        assert.propertyVal((yield* Effect.flip(failing["P0001"])).cause, "hint", "go")
        assert.propertyVal((yield* Effect.flip(failing["42601"])).cause, "position", "1")
        assert.deepStrictEqual(yield* sql`SELECT id FROM ${table}`, [{ id: 1 }])
      })
  },
  {
    situation: "the message of a `SqlError`",
    behavior: "ends with the message of the server",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { message } = yield* Effect.flip(sql`SELECT 1 / 0`)
        assert.strictEqual(message, "Failed to execute statement: division by zero")
      }),
    differences: [{
      on: "PgClient.layer",
      behavior: "is `Failed to execute statement`",
      reason: "a log of the message alone says nothing; the server's message is in `cause`",
      test: ({ sql }) =>
        Effect.gen(function*() {
          assert.strictEqual((yield* Effect.flip(sql`SELECT 1 / 0`)).message, "Failed to execute statement")
        })
    }]
  },
  {
    situation: "a statement after one that failed, in one transaction",
    behavior: "fails with `25P02`; after a savepoint was rolled back it runs",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { add, all } = yield* makeTable(sql)
        const failing = Effect.flip(sql`SELECT 1 / 0`)
        const second = yield* Effect.flip(sql.withTransaction(Effect.zipRight(failing, add(1))))
        assert.strictEqual(code(second), "25P02")
        yield* sql.withTransaction(Effect.zipRight(Effect.ignore(sql.withTransaction(sql`SELECT 1 / 0`)), add(2)))
        assert.deepStrictEqual(yield* all, [2])
      })
  },
  {
    situation: "`statement_timeout` of the server",
    behavior: "ends a statement with `57014`",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(sql.withTransaction(
          Effect.zipRight(sql`SET LOCAL statement_timeout = 20`, sql`SELECT pg_sleep(60)`)
        ))
        assert.strictEqual(code(error), "57014")
      }),
    differences: [{
      on: "PGlite",
      behavior: "has no effect",
      reason: "the server's timer is a signal, which a thread of its own process does not get",
      test: ({ sql }) =>
        Effect.asVoid(sql.withTransaction(
          Effect.zipRight(sql`SET LOCAL statement_timeout = 20`, sql`SELECT pg_sleep(0.1)`)
        ))
    }]
  },
  {
    situation: "`COPY ... FROM STDIN`",
    behavior: "fails, and the connection goes on: there is no stream to copy from",
    test: ({ open }) =>
      Effect.gen(function*() {
        const sql = yield* open({ connections: 1 })
        const { name } = yield* makeTable(sql)
        yield* Effect.flip(sql`COPY ${name} FROM STDIN`)
        assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
      })
  }
]
