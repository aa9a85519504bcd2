import { NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { Effect, Layer, Redacted } from "effect"
import { Database, JobSourceSql, launch, WorkerPool } from "../../../dist/index.js"
import { concurrency, type Job, jobAcknowledged, jobStarted, NAME, offeredJobs, printLine, url } from "../program.js"

class Pool extends WorkerPool.Tag(NAME)<Pool, Job>() {}

/** As the loop over pg-boss: one batch at a time, whose rows are inserted by one statement. */
const Workers = Pool.layerBatched({
  concurrency: 1,
  batchSize: concurrency,
  processAll: (jobs, batch) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) =>
      batch.complete(jobs, (held) =>
        Effect.suspend(() => {
          for (const { attempt, payload } of held) jobStarted(payload, attempt)
          return sql`INSERT INTO results SELECT unnest(${held.map(({ id }) => id)}::text[])`
        }))),
  onEvent: (event) => event._tag === "Succeeded" ? Effect.sync(jobAcknowledged) : Effect.void
})

// Printed once the pool has the jobs.
const Offered = Layer.scopedDiscard(Effect.gen(function*() {
  const pool = yield* Pool
  yield* pool.offerAll(offeredJobs)
  printLine("ready")
}))

Offered.pipe(
  Layer.provide(Workers),
  Layer.provide(Layer.orDie(JobSourceSql.layer().pipe(Layer.provideMerge(Database.layer({ url: Redacted.make(url) }))))),
  launch(),
  NodeRuntime.runMain
)
