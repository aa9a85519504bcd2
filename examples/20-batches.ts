// Jobs in batches: one call and one transaction for up to fifty letters. Letters without an address become dead letters, the others are sent.
//
// Run it:   node --import tsx --conditions=@lastcall/source examples/20-batches.ts
// Press:    Ctrl+C: the batch in flight is finished, or handed back whole
// Prints:   a line for each batch, and one for each dead letter; then the report
// Needs:    nothing, or the DATABASE_URL of a PostgreSQL
import { NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { Array, Effect, Layer } from "effect"
import { Database, JobBatch, JobSourceSql, launch, WorkerPool } from "lastcall"

class Letters extends WorkerPool.Tag("letters")<Letters, { readonly to: string }>() {}

const LettersLive = Letters.layerBatched({
  concurrency: 1,
  batchSize: 50,
  drainTimeout: "10 seconds",
  processAll: (letters, batch) =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const [bad, good] = Array.partition(letters, ({ payload }) => payload.to.includes("@"))
      if (Array.isNonEmptyReadonlyArray(good)) {
        yield* batch.complete(good, (held) => sql`INSERT INTO sent ${sql.insert(held.map(({ payload }) => payload))}`)
        yield* Effect.log(`sent ${good.length} letters`)
      }
      if (bad.length > 0) {
        return yield* new JobBatch.BatchError({ failures: bad.map(({ id }) => ({ id, error: "no address" as const })) })
      }
    }),
  permanent: (error) => error === "no address"
})

const Table = Layer.effectDiscard(
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`CREATE TABLE IF NOT EXISTS sent ("to" text)`)
)

const Offers = Layer.effectDiscard(Letters.offerAll(
  Array.makeBy(120, (n) => ({ to: n % 40 === 0 ? "nobody" : `reader${n}@example.org` }))
))

Offers.pipe(
  Layer.provide(LettersLive),
  Layer.provide(Table),
  Layer.provide(JobSourceSql.layer()),
  Layer.provide(Database.layerFromEnv),
  launch(),
  NodeRuntime.runMain
)
