/**
 * Measures what offers and claims cost while many jobs wait, in the library's own process: npm run jobs-long-queue [rows] [rounds]
 *
 * A claim takes one of the jobs that wait and hands it back. Medians, in milliseconds.
 */
import { SqlClient } from "@effect/sql"
import { Context, Effect, Layer } from "effect"
import { JobSource } from "../../src/layers/jobs/JobSource.js"
import * as JobSourceSql from "../../src/layers/jobs/sql/JobSourceSql.js"
import { median } from "../servers.js"
import { measureOverPostgres } from "./measureOverPostgres.js"

const [rows = "1000000", rounds = "300"] = process.argv.slice(2)
const capacity = Number(rows) * 2

const millisOf = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const taken: Array<number> = []
    for (let round = 0; round < Number(rounds); round++) {
      const begun = performance.now()
      yield* effect
      taken.push(performance.now() - begun)
    }
    return median(taken).toFixed(2)
  })

const measure = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const open = (options: JobSourceSql.Options) =>
    Effect.flatMap(Layer.build(JobSourceSql.layer(options)), (source) =>
      Context.get(source, JobSource).open({ name: "queue" }))
  const queue = yield* open({})
  const bounded = yield* open({ capacity })
  yield* sql`INSERT INTO lastcall_jobs (queue, id, payload, due_at)
    SELECT 'queue', 'job ' || n, '{}', clock_timestamp() FROM generate_series(1, ${Number(rows)}::int) AS n`
  yield* sql`ANALYZE lastcall_jobs`
  yield* Effect.log(`claim and hand back: ${yield* millisOf(Effect.flatMap(queue.claim(1), queue.handBack))}`)
  yield* Effect.log(`offer: ${yield* millisOf(queue.offer([{}]))}`)
  yield* Effect.log(`offer to a queue with a capacity: ${yield* millisOf(bounded.offer([{}]))}`)
  yield* Effect.log(`count: ${yield* millisOf(bounded.depth)}`)
})

await measureOverPostgres(measure)
