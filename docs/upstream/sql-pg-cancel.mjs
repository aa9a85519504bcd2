// @effect/sql-pg 0.53: interrupting a statement cancels it over a connection of the same pool. While the pool is full, the interruption
// waits for one, and the statement runs on.
// DATABASE_URL=postgres://... node sql-pg-cancel.mjs
import * as Reactivity from "@effect/experimental/Reactivity"
import { PgClient } from "@effect/sql-pg"
import { Duration, Effect, Fiber, Redacted } from "effect"

const connect = (options) =>
  Effect.provide(PgClient.make({ url: Redacted.make(process.env.DATABASE_URL), ...options }), Reactivity.layer)

const program = Effect.gen(function*() {
  const sql = yield* connect({ maxConnections: 1 })
  const fiber = yield* Effect.fork(sql`SELECT pg_sleep(30)`)
  yield* Effect.sleep("500 millis")
  const [took] = yield* Effect.timed(Fiber.interrupt(fiber))
  const observer = yield* connect({})
  const running = yield* observer`
    SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)' AND state = 'active' AND datname = current_database()`
  return { seconds: Duration.toSeconds(took).toFixed(1), running: running.length }
})

const { running, seconds } = await Effect.runPromise(Effect.scoped(program))
console.log("expected: interrupted within 1 second, 0 statements are still running")
console.log(`actual:   interrupted within ${seconds} seconds, ${running} statements are still running`)
process.exit(seconds < 1 && running === 0 ? 0 : 1)
