/**
 * Measures what keyed jobs cost while many wait for the turns of their keys, in the library's own process: npm run jobs-long-queue-keys [rows] [keys] [rounds]
 *
 * Each key has one job that is available, and the same number of blocked ones. First without statistics, as after a burst, then after ANALYZE.
 * Medians, in milliseconds.
 */
import { SqlClient } from "@effect/sql"
import { Context, Effect, Layer } from "effect"
import { execute } from "../../src/layers/database/contract.js"
import { type Claim, JobSource } from "../../src/layers/jobs/JobSource.js"
import { statementsOf } from "../../src/layers/jobs/sql/internal/statements.js"
import * as JobSourceSql from "../../src/layers/jobs/sql/JobSourceSql.js"
import { median, table } from "../servers.js"
import { measureOverPostgres } from "./measureOverPostgres.js"

const [rows = 1_000_000, keys = 100_000, rounds = 100] = process.argv.slice(2).map(Number)

/** The median of `rounds` runs of `measured`, each after `before`, which is not counted. */
const millisOf = <A, E>(measured: (before: A) => Effect.Effect<unknown, E>, before: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const taken: Array<number> = []
    for (let round = 0; round < rounds; round++) {
      const prepared = yield* before
      const begun = performance.now()
      yield* measured(prepared)
      taken.push(performance.now() - begun)
    }
    return median(taken).toFixed(2)
  })

const measure = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const source = Context.get(yield* Layer.build(JobSourceSql.layer()), JobSource)
  const queue = yield* source.open({ name: "queue" })
  const { advance } = statementsOf("lastcall_jobs")
  yield* sql`INSERT INTO lastcall_jobs (queue, id, payload, due_at, key, state)
    SELECT 'queue', 'job ' || n, '{}', clock_timestamp(), 'key ' || n % ${keys}::int, CASE WHEN n <= ${keys}::int THEN 'waiting' ELSE 'blocked' END
    FROM generate_series(1, ${rows}::int) AS n`
  const turns = (count: number) =>
    sql`INSERT INTO lastcall_jobs_turns (queue, key) SELECT 'queue', 'key ' || n FROM generate_series(1, ${count}::int) AS n`
  const take = execute(sql, advance("queue", { limit: 1000, room: 1000 }))
  const none: Effect.Effect<unknown, unknown> = Effect.void
  let held: ReadonlyArray<Claim> = []
  const next: Effect.Effect<ReadonlyArray<Claim>, unknown> = Effect.flatMap(
    queue.claim(1),
    (claims) => claims.length === 1 ? Effect.sync(() => (held = claims)) : Effect.zipRight(queue.wait, next)
  )
  const takeNext = Effect.zipRight(Effect.suspend(() => queue.handBack(held)), next)
  let key = 0
  const nextKey = () => ({ keys: [`key ${key++ % keys}`] })
  const operations = {
    "claim": millisOf(() => next, Effect.suspend(() => queue.handBack(held))),
    "offer of a job with a key": millisOf(() => queue.offer([{}], nextKey()), none),
    "advance, one turn": millisOf(() => take, turns(1)),
    "advance, 1,000 turns": millisOf(() => take, turns(1000)),
    "advance, 1,000 of 100,000 turns": Effect.zipLeft(
      Effect.zipRight(turns(100_000), millisOf(() => take, turns(1000))),
      sql`DELETE FROM lastcall_jobs_turns`
    ),
    "acknowledge": millisOf(queue.acknowledge, takeNext),
    "acknowledge, until the next is claimed": millisOf((claims) => Effect.zipRight(queue.acknowledge(claims), next), takeNext),
    "size": millisOf(() => queue.size, none),
    "depth": millisOf(() => queue.depth, none)
  }
  const results = Object.keys(operations).map((name) => [name])
  for (const analyze of [Effect.void, sql`ANALYZE lastcall_jobs, lastcall_jobs_turns`]) {
    yield* analyze
    for (const [n, operation] of Object.values(operations).entries()) results[n]!.push(yield* operation)
  }
  yield* Effect.sync(() => console.log(table([["operation", "without statistics", "after ANALYZE"], ...results])))
})

await measureOverPostgres(measure, { settings: ["autovacuum=off", "max_wal_size=4GB"] })
