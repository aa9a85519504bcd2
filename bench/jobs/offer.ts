/**
 * Measures what an offer adds to a transaction, in the library's own process: npm run jobs-offer [transactions] [rounds] [milliseconds]
 *
 * Each transaction inserts a row, on 20 connections. In each round the kinds take turns; a ratio is the median over the rounds. A commit waits for its
 * flush (`synchronous_commit = on`), whose server waits for so many milliseconds before it, as a slower disk does (`commit_delay`).
 */
import { SqlClient } from "@effect/sql"
import { Context, Effect, Layer } from "effect"
import { JobSource } from "../../src/layers/jobs/JobSource.js"
import * as JobSourceSql from "../../src/layers/jobs/sql/JobSourceSql.js"
import { median, table } from "../servers.js"
import { measureOverPostgres } from "./measureOverPostgres.js"

const [transactions = 2000, rounds = 7, flushMillis = 0] = process.argv.slice(2).map(Number)
const connections = 20
/** Rounds that are not counted. */
const warmUp = 1

const measure = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const settings = yield* sql<Record<string, string>>`SELECT name, setting FROM pg_settings
    WHERE name IN ('fsync', 'synchronous_commit', 'wal_sync_method', 'commit_delay')`
  yield* Effect.log(settings.map(({ name, setting }) => `${name}=${setting}`).join(" "))
  const source = Context.get(yield* Layer.build(JobSourceSql.layer()), JobSource)
  const queue = yield* source.open({ name: "queue" })
  yield* sql`CREATE TABLE written (n int)`
  const insert = sql`INSERT INTO written VALUES (1)`
  const kinds: Record<string, Effect.Effect<unknown, unknown>> = {
    "a row": insert,
    "a row and an offer": Effect.zipRight(insert, queue.offer([{}])),
    "a row and an offer of a keyed job": Effect.zipRight(insert, queue.offer([{}], { keys: ["key"] })),
    "a row, an offer and a NOTIFY": insert.pipe(
      Effect.zipRight(queue.offer([{}])),
      Effect.zipRight(sql`SELECT pg_notify('lastcall_jobs', 'queue')`)
    ),
    "a row and a NOTIFY": Effect.zipRight(insert, sql`SELECT pg_notify('other', 'queue')`)
  }
  const rates = new Map(Object.keys(kinds).map((kind) => [kind, [] as Array<number>]))
  for (let round = -warmUp; round < rounds; round++) {
    for (const [kind, work] of Object.entries(kinds)) {
      yield* sql`TRUNCATE written, lastcall_jobs, lastcall_jobs_turns`
      const begun = performance.now()
      yield* Effect.replicateEffect(sql.withTransaction(work), transactions, { concurrency: connections, discard: true })
      if (round >= 0) rates.get(kind)!.push(transactions / (performance.now() - begun) * 1000)
    }
  }
  const first = [...rates.values()][0]!
  const rows = [...rates].map(([kind, values]) => [
    kind,
    median(values).toFixed(0),
    median(values.map((rate, round) => rate / first[round]!)).toFixed(2)
  ])
  yield* Effect.sync(() => console.log(table([["a transaction with", "transactions per second", "of the first"], ...rows])))
})

await measureOverPostgres(measure, {
  settings: ["fsync=on", "synchronous_commit=on", `commit_delay=${flushMillis * 1000}`],
  maxConnections: connections
})
