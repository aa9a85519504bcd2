import * as Statement from "@effect/sql/Statement"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Tracer } from "effect"
import { execute } from "../../../src/layers/database/contract.js"
import { openDatabase } from "../../kit/database.js"
import { databaseFolder } from "../../kit/pglite.js"

const open = Effect.flatMap(Effect.promise(databaseFolder), (folder) => openDatabase(`pglite:${folder}`))

/** A tracer that exports spans, and what it has exported. */
const makeTracer = Effect.map(Effect.tracer, (native) => {
  const exported: Array<string> = []
  const tracer = Tracer.make({
    span: (name, ...rest) => {
      exported.push(name)
      return native.span(name, ...rest)
    },
    context: (f) => f()
  })
  return { exported, tracer }
})

const rows = [{ n: 1 }, { n: 2 }]

describe("`execute` on a client of `Database`", () => {
  it.scopedLive("has the span of a statement where a tracer exports spans", () =>
    Effect.gen(function*() {
      const { sql } = yield* open
      const { exported, tracer } = yield* makeTracer
      const statement = execute(sql, "SELECT 1 AS n; SELECT 2 AS n")
      assert.deepStrictEqual(yield* statement, rows)
      assert.deepStrictEqual(yield* Effect.withTracer(statement, tracer), rows)
      assert.deepStrictEqual(exported, ["sql.execute"])
    }))

  it.scopedLive("goes through the transformer of statements", () =>
    Effect.gen(function*() {
      const { sql } = yield* open
      const transformed = yield* execute(sql, "SELECT 1 AS n").pipe(
        Statement.withTransformer((_statement, sql) => Effect.succeed(sql.unsafe("SELECT 2 AS n")))
      )
      assert.deepStrictEqual(transformed, [{ n: 2 }])
    }))

  it.scopedLive("joins the transaction around it", () =>
    Effect.gen(function*() {
      const { sql } = yield* open
      yield* execute(sql, "CREATE TABLE numbers (n integer)")
      const insert = (n: number) => execute(sql, "INSERT INTO numbers VALUES ($1)", [n])
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(insert(1), Effect.fail("rolled back"))))
      yield* sql.withTransaction(insert(2))
      assert.deepStrictEqual(yield* execute(sql, "SELECT n FROM numbers"), [{ n: 2 }])
    }))
})

describe("A transaction of `Database`", () => {
  it.scopedLive("is a span under that of its caller, also where nothing exports it", () =>
    Effect.gen(function*() {
      const { sql } = yield* open
      const inside = Effect.map(
        Effect.orDie(Effect.currentSpan),
        ({ attributes, kind, name, parent }) => ({
          name,
          kind,
          system: attributes.get("db.system.name"),
          parent: Option.getOrThrow(Option.filter(parent, ({ _tag }) => _tag === "Span")) as Tracer.Span
        })
      )
      const { exported, tracer } = yield* makeTracer
      const transaction = Effect.withSpan(sql.withTransaction(inside), "caller")
      for (const ran of [transaction, Effect.withTracer(transaction, tracer)]) {
        const { parent, ...span } = yield* ran
        assert.deepStrictEqual(span, { name: "sql.transaction", kind: "client", system: "postgresql" })
        assert.strictEqual(parent.name, "caller")
      }
      assert.deepStrictEqual(exported, ["caller", "sql.transaction"])
    }))
})
