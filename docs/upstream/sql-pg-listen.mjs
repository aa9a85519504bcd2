// @effect/sql-pg 0.53: a stream of `listen` whose backend ends (a restart, a failover) neither fails nor ends nor hears anything again.
// DATABASE_URL=postgres://... node sql-pg-listen.mjs
import * as Reactivity from "@effect/experimental/Reactivity"
import { PgClient } from "@effect/sql-pg"
import { Effect, Fiber, Option, Redacted, Stream } from "effect"

const program = Effect.gen(function*() {
  const sql = yield* PgClient.make({ url: Redacted.make(process.env.DATABASE_URL) })
  const heard = []
  const listener = yield* Effect.fork(
    Stream.runForEach(sql.listen("upstream"), (payload) => Effect.sync(() => heard.push(payload)))
  )
  yield* Effect.sleep("1 second")
  yield* sql`SELECT pg_notify('upstream', 'before')`
  yield* Effect.sleep("500 millis")
  yield* sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND datname = current_database()`
  yield* Effect.sleep("2 seconds")
  yield* sql`SELECT pg_notify('upstream', 'after')`
  yield* Effect.sleep("1 second")
  const exit = yield* Fiber.poll(listener)
  return { heard: heard.join(", "), state: Option.isSome(exit) ? "has ended" : "runs" }
}).pipe(Effect.scoped, Effect.provide(Reactivity.layer))

const { heard, state } = await Effect.runPromise(program)
console.log("expected: the stream has ended, or has heard: before, after")
console.log(`actual:   the stream ${state}, and has heard: ${heard}`)
process.exit(state === "has ended" || heard === "before, after" ? 0 : 1)
