// @effect/sql 0.52: withTransaction waits for a connection uninterruptibly, so a timeout does not hold while the pool is full.
// DATABASE_URL=postgres://... node sql-pg-wait.mjs
import * as Reactivity from "@effect/experimental/Reactivity"
import { PgClient } from "@effect/sql-pg"
import { Duration, Effect, Redacted } from "effect"

const program = Effect.gen(function*() {
  const sql = yield* PgClient.make({ url: Redacted.make(process.env.DATABASE_URL), maxConnections: 1 })
  yield* Effect.fork(Effect.scoped(Effect.zipRight(sql.reserve, Effect.sleep("4 seconds"))))
  yield* Effect.sleep("200 millis")
  const [took] = yield* Effect.timed(Effect.timeoutOption(sql.withTransaction(sql`SELECT 1`), "1 second"))
  return Duration.toSeconds(took).toFixed(1)
}).pipe(Effect.scoped, Effect.provide(Reactivity.layer))

const seconds = await Effect.runPromise(program)
console.log("expected: a timeout of 1 second ends the wait after about 1 second")
console.log(`actual:   a timeout of 1 second ends the wait after about ${seconds} seconds`)
process.exit(seconds < 2 ? 0 : 1)
