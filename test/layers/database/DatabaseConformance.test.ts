// Statements of SQL mean the same on both databases, and the same as over `PgClient.layer`. The differences are tests too.
import { PgClient } from "@effect/sql-pg"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Logger, LogLevel, Redacted, Scope } from "effect"
import { readFileSync } from "node:fs"
import * as Database from "../../../src/layers/database/Database.js"
import { sqlCases } from "../../conformance/sql/index.js"
import { type Target, testOn, type World } from "../../conformance/sql/sqlCase.js"
import { databaseFolder } from "../../kit/pglite.js"
import { describePostgres } from "../../kit/postgres.js"
import { splitErrors } from "../../kit/postgresProxy.js"

const suite = (target: Target, open: World["open"], cases = sqlCases) => {
  const scope = Effect.runSync(Scope.make())
  let world: World
  beforeAll(async () => {
    const sql = await Effect.runPromise(Scope.extend(open(), scope))
    // PGlite has one connection whatever is asked for: the shared client will do, except for options.
    const isShared = (options: object = {}) =>
      target === "PGlite" && Object.keys(options).every((name) => name === "connections")
    world = { sql, open: (options) => isShared(options) ? Effect.succeed(sql) : open(options) }
  }, 60_000)
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  for (const each of cases) {
    const { test, title } = testOn(target, each)
    it.scopedLive(title, () => test(world))
  }
}

const layerOf = (layer: Layer.Layer<PgClient.PgClient, unknown>) =>
  Layer.build(layer).pipe(Effect.map(Context.get(PgClient.PgClient)), Logger.withMinimumLogLevel(LogLevel.None))

const overDatabase = (url: () => Promise<string>): World["open"] => ({ connections = 2, ...options } = {}) =>
  Effect.flatMap(
    Effect.promise(url),
    (url) => layerOf(Database.layer({ url: Redacted.make(url), maxConnections: connections, ...options }))
  )

const overStock = (url: () => string): World["open"] => ({ connections = 2, ...options } = {}) =>
  Effect.suspend(() => layerOf(PgClient.layer({ url: Redacted.make(url()), maxConnections: connections, ...options })))

describe("SQL over Database on PGlite", () =>
  suite("PGlite", overDatabase(async () => `pglite:${await databaseFolder()}`)))

describePostgres(
  "SQL over Database on PostgreSQL",
  (postgres) => suite("PostgreSQL", overDatabase(async () => postgres.url))
)

describePostgres("SQL over PgClient.layer", (postgres) => suite("PgClient.layer", overStock(() => postgres.url)))

describePostgres("SQL over Database on PostgreSQL, with errors that arrive in several packets", (postgres) => {
  let proxy: Awaited<ReturnType<typeof splitErrors>>
  beforeAll(async () => {
    proxy = await splitErrors(postgres.url)
  })
  afterAll(() => proxy.close())
  suite("PostgreSQL", overDatabase(async () => proxy.url))
})

describe("docs/database.md", () => {
  const text = readFileSync(new URL("../../../docs/database.md", import.meta.url), "utf8")
  const rows = text.split("\n").filter((line) => line.startsWith("| "))

  it("lists the cases of the suite", () => {
    const expected = sqlCases.map(({ behavior, situation }) => `| ${situation} | ${behavior} |`)
    assert.deepStrictEqual(rows.filter((row) => expected.includes(row)), expected)
  })

  it("lists each difference with its reason", () => {
    const expected = sqlCases.flatMap(({ differences = [], situation }) =>
      differences.map(({ behavior, on, reason }) => `| ${situation} | ${on} | ${behavior} | ${reason} |`)
    )
    assert.deepStrictEqual(rows.filter((row) => / \| (PGlite|PgClient\.layer) \| /.test(row)), expected)
  })
})
