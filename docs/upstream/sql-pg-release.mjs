// @effect/sql-pg 0.53: a transaction that is open when the client is released goes on, and commits.
// DATABASE_URL=postgres://... node sql-pg-release.mjs
import * as Reactivity from "@effect/experimental/Reactivity"
import { PgClient } from "@effect/sql-pg"
import { Effect, Exit, Fiber, Redacted, Scope } from "effect"

const connect = Effect.provide(PgClient.make({ url: Redacted.make(process.env.DATABASE_URL) }), Reactivity.layer)

const program = Effect.gen(function*() {
  const observer = yield* connect
  yield* observer`DROP TABLE IF EXISTS upstream_release`
  yield* observer`CREATE TABLE upstream_release (n integer)`

  const scope = yield* Scope.make()
  const sql = yield* Scope.extend(connect, scope)
  const open = yield* Effect.makeLatch()
  const work = yield* Effect.forkDaemon(sql.withTransaction(
    Effect.all([sql`INSERT INTO upstream_release VALUES (1)`, open.open, Effect.sleep("3 seconds")])
  ))
  yield* open.await
  yield* Scope.close(scope, Exit.void)
  yield* Fiber.await(work)
  const [{ count }] = yield* observer`SELECT count(*)::int FROM upstream_release`
  return count
})

const count = await Effect.runPromise(Effect.scoped(program))
console.log("expected: 0 rows were committed after the release of the client")
console.log(`actual:   ${count} rows were committed after the release of the client`)
process.exit(count === 0 ? 0 : 1)
