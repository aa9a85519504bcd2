import type { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Logger, Redacted } from "effect"
import * as Database from "../../../src/layers/database/Database.js"
import * as JobSourceSql from "../../../src/layers/jobs/sql/JobSourceSql.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { databaseFolder } from "../../kit/pglite.js"
import { describePostgres } from "../../kit/postgres.js"

class Mailer extends WorkerPool.Tag("mailer")<Mailer, number>() {}

/** The warnings of a start of a pool with a concurrency of four. */
const warnings = <E>(
  database: Layer.Layer<Database.Database | SqlClient.SqlClient, E>
) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      if (logLevel.label === "WARN") lines.push(String(message))
    })
    const pool = Mailer.layer({ concurrency: 4, process: () => Effect.void })
    yield* Effect.scoped(Layer.build(pool.pipe(Layer.provide(JobSourceSql.layer()), Layer.provide(database)))).pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger))
    )
    return lines
  })

describePostgres("a pool over Database that runs more jobs than there are connections", (postgres) => {
  const url = () => Redacted.make(postgres.url)
  const line = (connections: number) => [
    `mailer: concurrency is 4, but the database has ${connections} connections, for which jobs and requests will wait: ` +
    `set maxConnections above 4, or concurrency below ${connections}`
  ]

  it.live("logs one warning at its start, with both figures and what to do", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* warnings(Database.layer({ url: url(), maxConnections: 3 })), line(3))
      assert.deepStrictEqual(yield* warnings(Database.layer({ url: url(), maxConnections: 4 })), [])
    }))

  it.live("warns over an app's own PgClient where its size is known, and not on PGlite, which has one connection", () =>
    Effect.gen(function*() {
      const own = (maxConnections?: number) =>
        Layer.provideMerge(Database.fromPgClient, PgClient.layer({ url: url(), maxConnections }))
      assert.deepStrictEqual(yield* warnings(own(2)), line(2))
      assert.deepStrictEqual(yield* warnings(own()), [])
      const folder = yield* Effect.promise(databaseFolder)
      assert.deepStrictEqual(yield* warnings(Database.layer({ url: Redacted.make(`pglite:${folder}`) })), [])
    }))
})
