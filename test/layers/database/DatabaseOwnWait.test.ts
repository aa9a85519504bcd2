import * as Sql from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Logger, TestClock } from "effect"
import { makeConnectionPool } from "../../../src/layers/database/internal/connectionPool.js"
import { makeErrors } from "../../../src/layers/database/internal/errors.js"
import { refuseOwnWait } from "../../../src/layers/database/internal/ownWait.js"

/** One connection that answers everything at once. */
const oneConnection = () => {
  const errors = makeErrors(Sql)
  const pool = makeConnectionPool(1, errors, (done) =>
    done(Exit.succeed({
      send: (_text, _values, _rowMode, done) => done(Exit.succeed({ rows: [] })),
      cancel: Effect.void,
      destroy: () => undefined,
      giveBack: () => undefined
    })))
  return refuseOwnWait(pool, errors)
}

describe("Database on PGlite: a fiber that keeps its one connection", () => {
  it.scoped("is named once in a warning, with its spans, when others wait for it", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => void lines.push(String(message)))
      const { pool, watch } = oneConnection()
      const enough = yield* Effect.makeLatch()
      const work = Effect.gen(function*() {
        yield* Effect.forkScoped(watch)
        const holder = yield* Effect.forkDaemon(
          Effect.scoped(Effect.zipRight(pool.lease, enough.await)).pipe(
            Effect.withSpan("sql.transaction"),
            Effect.withSpan("POST /imports")
          )
        )
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(lines, [])
        const waiting = yield* Effect.forEach([1, 2], () => Effect.fork(pool.query("SELECT 1", [], "object")))
        yield* TestClock.adjust("1 minute")
        yield* enough.open
        yield* Fiber.joinAll(waiting)
        yield* Fiber.join(holder)
        const quick = yield* Effect.fork(Effect.scoped(Effect.zipRight(pool.lease, Effect.sleep("1 second"))))
        yield* Effect.yieldNow()
        const behind = yield* Effect.fork(pool.query("SELECT 1", [], "object"))
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(quick)
        yield* Fiber.join(behind)
      })
      yield* Effect.provide(work, Logger.replace(Logger.defaultLogger, logger))
      assert.deepStrictEqual(lines.map((line) => line.replace(/#\d+/, "#n")), [
        "the embedded database has one connection, which fiber #n has held for more than 10 seconds in " +
        "POST /imports > sql.transaction: 2 others wait for it"
      ])
    }))
})
