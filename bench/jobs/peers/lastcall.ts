import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer, Redacted } from "effect"
import { Database, JobSourceRedis, JobSourceSql, launch, WorkerPool } from "../../../dist/index.js"
import { acknowledged, concurrency, type Job, NAME, offered, patience, say, taken, url } from "../said.js"

class Pool extends WorkerPool.Tag(NAME)<Pool, Job>() {}

const Source = url.startsWith("redis:")
  ? Layer.orDie(JobSourceRedis.layer({ url: Redacted.make(url) }))
  : Layer.orDie(JobSourceSql.layer().pipe(Layer.provide(Database.layer({ url: Redacted.make(url) }))))

const Workers = Pool.layer({
  concurrency,
  drainTimeout: patience,
  process: (job, { attempt }) => {
    taken(job, attempt)
    return job.long ? Effect.never : Effect.void
  },
  onEvent: (event) => event._tag === "Succeeded" ? Effect.sync(acknowledged) : Effect.void
})

// Offered before there is anybody to take them.
const Offered = Layer.scopedDiscard(Effect.gen(function*() {
  const pool = yield* Pool
  if (offered.length > 0) yield* pool.offerAll(offered)
  say("ready")
}))

Offered.pipe(Layer.provide(Workers), Layer.provide(Source), launch(), NodeRuntime.runMain)
