import { assert } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { makeTable, type SqlCase } from "./sqlCase.js"

/** Single statements: what they take, what they return, and how they fail. */
export const statements: ReadonlyArray<SqlCase> = [
  {
    situation: "values in rows",
    behavior:
      "have the types of `pg`: `bigint` and `numeric` are strings, `timestamptz` is a `Date`, `jsonb` is parsed",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const [row] = yield* sql`SELECT 1::int AS int, 2::bigint AS big, 1.50::numeric AS num, true AS yes, 'x' AS txt,
          '{"a":[1]}'::jsonb AS json, '{1,2}'::int[] AS ints, '{3}'::bigint[] AS bigs, '\\x0102'::bytea AS bytes,
          '2024-02-29T12:00:00Z'::timestamptz AS at, '2024-02-29'::date AS day, NULL AS nothing`
        assert.deepStrictEqual(row, {
          int: 1,
          big: "2",
          num: "1.50",
          yes: true,
          txt: "x",
          json: { a: [1] },
          ints: [1, 2],
          bigs: ["3"],
          bytes: Buffer.from([1, 2]),
          at: new Date("2024-02-29T12:00:00Z"),
          day: new Date(2024, 1, 29),
          nothing: null
        })
        assert.deepStrictEqual(yield* sql`SELECT 1::bigint, 'x'`.values, [["1", "x"]])
      })
  },
  {
    situation: "values of statements",
    behavior:
      "are written as `pg` writes them: a `Date` in local time, an object as JSON, an array as an array of PostgreSQL",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const at = new Date(2024, 0, 31, 23, 30)
        const written = (value: unknown, type: string) =>
          Effect.map(sql.unsafe<{ text: string | null }>(`SELECT ($1::${type})::text AS text`, [value]), ([row]) =>
            row!.text)
        const all: ReadonlyArray<readonly [value: unknown, type: string, text: string | null]> = [
          [at, "timestamp", "2024-01-31 23:30:00"],
          [at, "date", "2024-01-31"],
          [{ a: [1] }, "jsonb", `{"a": [1]}`],
          [{ a: 1 }, "text", `{"a":1}`],
          [[1, null], "int[]", "{1,NULL}"],
          [[`"`, "NULL"], "text[]", `{"\\"","NULL"}`],
          [Buffer.from([1, 2]), "bytea", "\\x0102"],
          [new Uint8Array([1, 2]), "bytea", "\\x0102"],
          ["\\x01", "bytea", "\\x01"],
          [12n, "bigint", "12"],
          [12, "text", "12"],
          ["yes", "bool", "true"],
          [undefined, "int", null]
        ]
        for (const [value, type, text] of all) {
          assert.strictEqual(yield* written(value, type), text)
        }
        const [row] = yield* sql`SELECT ${at}::timestamp AS local, ${at}::timestamptz AS at`
        assert.deepStrictEqual(row, { local: at, at })
        const refused = yield* Effect.flip(written([1], "jsonb"))
        assert.propertyVal(refused.cause, "code", "22P02")
      })
  },
  {
    situation: "`.raw`",
    behavior: "is a result with `rows`, `rowCount`, `command` and `fields`",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { add, name } = yield* makeTable(sql)
        yield* add(1)
        const raws = [sql`UPDATE ${name} SET n = ${2}`.raw, sql`SELECT n FROM ${name}`.raw]
        const shown = yield* Effect.forEach(raws, (raw) =>
          Effect.map(raw, (result) => {
            const { command, fields, rowCount, rows } = result as
              & {
                readonly [K in "command" | "rowCount" | "rows"]: unknown
              }
              & { readonly fields: ReadonlyArray<{ readonly name: string }> }
            return [command, rowCount, rows, fields.map(({ name }) => name)]
          }))
        assert.deepStrictEqual(shown, [["UPDATE", 1, [], []], ["SELECT", 1, [{ n: 2 }], ["n"]]])
      })
  },
  {
    situation: "helpers (`insert`, `update`, `in`, `and`, `json`, identifiers)",
    behavior: "compile to PostgreSQL",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const table = sql(`Odd "name" ${Math.random().toString(36).slice(2)}`)
        yield* sql`CREATE TABLE ${table} (id int, "select" text, doc jsonb)`
        yield* sql`INSERT INTO ${table} ${
          sql.insert([{ id: 1, select: "a", doc: sql.json({ a: [1] }) }, {
            id: 2,
            select: "b",
            doc: sql.json({ b: null })
          }])
        }`
        yield* sql`UPDATE ${table} SET ${sql.update({ id: 2, select: "c" }, ["id"])} WHERE id = 2`
        const rows = yield* sql`SELECT * FROM ${table} WHERE ${
          sql.and([sql.in("id", [1, 2]), sql`${sql("select")} = ${"c"}`])
        }`
        assert.deepStrictEqual(rows, [{ id: 2, select: "c", doc: { b: null } }])
      })
  },
  {
    situation: "a value that cannot be written",
    behavior:
      "fails its statement, which is not run, alone, repeated, in a transaction and as a stream; the next one runs",
    test: ({ open }) =>
      Effect.gen(function*() {
        const sql = yield* open({ connections: 1 })
        const { add, all, identifier } = yield* makeTable(sql)
        const insert = (value: unknown) =>
          sql.unsafe(`INSERT INTO ${identifier} SELECT jsonb_array_length($1::jsonb) RETURNING 1`, [value as string])
        yield* Effect.repeatN(insert("[0]"), 1)
        const bad = insert({ big: 1n })
        const failed = yield* Effect.all([
          Effect.exit(bad),
          Effect.exit(bad),
          Effect.exit(sql.withTransaction(bad)),
          Effect.exit(sql.withTransaction(Effect.zipRight(add(7), bad))),
          Effect.exit(Stream.runDrain(bad.stream))
        ])
        assert.deepStrictEqual(failed.map(({ _tag }) => _tag), failed.map(() => "Failure"))
        yield* insert("[0, 0]")
        assert.deepStrictEqual(yield* all, [1, 1, 2])
      })
  },
  {
    situation: "a text of several statements",
    behavior: "returns the rows of each; if one fails, none has an effect",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { all, identifier } = yield* makeTable(sql)
        assert.deepStrictEqual(yield* sql.unsafe<object>("SELECT 1 AS a; SELECT 2 AS b"), [
          [{ a: 1 }],
          [{ b: 2 }]
        ] as never)
        yield* Effect.flip(sql.unsafe(`INSERT INTO ${identifier} VALUES (1); SELECT 1 / 0`))
        assert.deepStrictEqual(yield* all, [])
        assert.deepStrictEqual(yield* sql.unsafe(""), [])
      })
  },
  {
    situation: "a text that fails in a transaction that it has begun itself",
    behavior: "leaves no transaction open for the next statement",
    test: ({ open }) =>
      Effect.gen(function*() {
        const sql = yield* open({ connections: 1 })
        yield* Effect.flip(sql.unsafe("BEGIN; SELECT 1 / 0; COMMIT"))
        assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
      }),
    differences: [{
      on: "PgClient.layer",
      behavior: "the next statement on that connection fails: its transaction is aborted",
      reason: "the pool of `pg` leases a connection again in whatever state it is",
      test: ({ open }) =>
        Effect.gen(function*() {
          const sql = yield* open({ connections: 1 })
          yield* Effect.flip(sql.unsafe("BEGIN; SELECT 1 / 0; COMMIT"))
          assert.propertyVal((yield* Effect.flip(sql`SELECT 1`)).cause, "code", "25P02")
        })
    }]
  },
  {
    situation: "a big result",
    behavior: "arrives whole: 100,000 rows, and one value of 4 MB",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const rows = yield* sql<{ n: number }>`SELECT n FROM generate_series(1, 100000) AS n`
        assert.deepStrictEqual([rows.length, rows[99_999]], [100_000, { n: 100_000 }])
        const size = 4 * 1024 * 1024
        const [row] = yield* sql<{ text: string }>`SELECT repeat(${"x"}, ${size}::int) AS text`
        assert.strictEqual(row!.text.length, size)
        assert.deepStrictEqual(yield* sql`SELECT length(${row!.text}) AS length`, [{ length: size }])
      })
  },
  {
    situation: "`reserve`",
    behavior: "is one connection: what a statement sets, the next one finds",
    test: ({ sql }) =>
      Effect.scoped(Effect.gen(function*() {
        const connection = yield* sql.reserve
        const run = (text: string) => connection.execute(text, [], undefined)
        yield* run("SET lastcall.mine = 'yes'; CREATE TEMP TABLE mine (n int)")
        assert.deepStrictEqual(
          yield* run("SELECT current_setting('lastcall.mine') AS mine, count(*)::int AS rows FROM mine"),
          [{ mine: "yes", rows: 0 }]
        )
        yield* run("DROP TABLE mine; RESET lastcall.mine")
      }))
  }
]
