// @effect/sql-pg 0.53: interrupting a fiber that waits for `sql.reserve` or for a stream loses a connection for good.
// DATABASE_URL=postgres://... node sql-pg-leak.mjs
import * as Reactivity from "@effect/experimental/Reactivity"
import { PgClient } from "@effect/sql-pg"
import { Effect, Fiber, Option, Redacted, Stream } from "effect"

const connect = PgClient.make({ url: Redacted.make(process.env.DATABASE_URL), maxConnections: 1 })

const after = (waiting) =>
  Effect.gen(function*() {
    const sql = yield* connect
    const free = yield* Effect.makeLatch()
    const holder = yield* Effect.fork(Effect.scoped(Effect.zipRight(sql.reserve, free.await)))
    yield* Effect.sleep("200 millis")
    const waiter = yield* Effect.fork(Effect.scoped(waiting(sql)))
    yield* Effect.sleep("200 millis")
    yield* Effect.disconnect(Fiber.interrupt(waiter)).pipe(Effect.timeoutOption("1 second"))
    yield* free.open
    yield* Fiber.join(holder)
    const answer = yield* Effect.disconnect(sql`SELECT 1`).pipe(Effect.timeoutOption("3 seconds"))
    return Option.isSome(answer) ? "answered" : "never answered"
  }).pipe(Effect.scoped, Effect.provide(Reactivity.layer))

const reserve = await Effect.runPromise(after((sql) => sql.reserve))
const stream = await Effect.runPromise(after((sql) => Stream.runDrain(sql`SELECT 1`.stream)))
console.log("expected: the next statement is answered after reserve, answered after stream")
console.log(`actual:   the next statement is ${reserve} after reserve, ${stream} after stream`)
process.exit(reserve === "answered" && stream === "answered" ? 0 : 1)
