import { NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { Effect, Layer, Option } from "effect"
import { launch, WorkerPool } from "../../../dist/index.js"
import "../../shutdown/watch.js"
import { sourceOf } from "../lastcallSource.js"
import {
  concurrency,
  type Job,
  jobAcknowledged,
  jobStarted,
  NAME,
  offeredJobs,
  postgresUrl,
  printLine,
  stopTimeout,
  url,
  writesRow
} from "../program.js"

class Pool extends WorkerPool.Tag(NAME)<Pool, Job>() {}

const Workers = Pool.layer({
  concurrency,
  drainTimeout: stopTimeout,
  process: (job, { attempt, complete, id }) => {
    jobStarted(job, attempt)
    if (job.long) return Effect.never
    if (!writesRow) return Effect.void
    return Effect.flatMap(
      Effect.serviceOption(SqlClient.SqlClient),
      (sql) => complete(Option.getOrThrow(sql)`INSERT INTO results VALUES (${id})`)
    )
  },
  onEvent: (event) => event._tag === "Succeeded" ? Effect.sync(jobAcknowledged) : Effect.void
})

// Printed once the pool has the jobs.
const Offered = Layer.scopedDiscard(Effect.gen(function*() {
  const pool = yield* Pool
  if (offeredJobs.length > 0) yield* pool.offerAll(offeredJobs)
  printLine("ready")
}))

Offered.pipe(Layer.provide(Workers), Layer.provide(sourceOf(url, writesRow ? postgresUrl : undefined)), launch(), NodeRuntime.runMain)
