import { Reactivity } from "@effect/experimental"
import * as Sql from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { makeConnectionPool } from "../../../src/layers/database/internal/connectionPool.js"
import { makePermits } from "../../../src/layers/database/internal/permits.js"
import { makeSqlClient, sharedTransaction } from "../../../src/layers/database/internal/sqlClient.js"
import * as Interruption from "../../../src/testing/Interruption.js"
import { long } from "../../kit/long.js"

/** Every point in the long form, some in the short one. */
const extent = long ? {} : { sample: 150 }

/** A server with one connection, in memory: it keeps what is committed. */
const makeServer = Effect.gen(function*() {
  const state = { transaction: false, pending: [] as Array<string>, committed: [] as Array<string>, leased: 0 }
  const answer = (text: string) => {
    const command = text.split(" ")[0]!
    if (command === "BEGIN") state.transaction = true
    else if (command === "COMMIT" || command === "ROLLBACK") {
      if (command === "COMMIT") state.committed.push(...state.pending)
      state.transaction = false
      state.pending = []
    } else state.pending.push(text)
    return { rows: [], command }
  }
  const pool = makeConnectionPool(1, () =>
    Effect.sync(() => {
      state.leased++
      return {
        send: (text) => Promise.resolve().then(() => answer(text)),
        afterError: "",
        cancel: Effect.void,
        destroy: () => undefined,
        giveBack: () => Effect.sync(() => void state.leased--)
      }
    }))
  const sql = makeSqlClient({
    peers: { "@effect/sql": Sql, "@effect/sql-pg": PgClient },
    reactivity: yield* Reactivity.make,
    tag: sharedTransaction,
    lease: pool.lease,
    begin: "BEGIN",
    attributes: {}
  })
  return { state, pool, sql }
})

describe("Database: every point of interruption", () => {
  it.effect(
    "no transaction stays open or is committed in part, and no connection is lost",
    () =>
      Effect.gen(function*() {
        const report = yield* Interruption.explore({
          setup: makeServer,
          ...extent,
          program: ({ sql }) =>
            Effect.gen(function*() {
              const other = yield* Effect.fork(sql.withTransaction(Effect.zipRight(sql`C`, sql`D`)))
              yield* sql.withTransaction(Effect.zipRight(sql`A`, sql.withTransaction(sql`B`)))
              yield* Fiber.join(other)
            }),
          invariant: ({ pool, sql, state }, exit) =>
            Effect.gen(function*() {
              const written = state.committed.filter((text) => /^[A-D]$/.test(text)).join("")
              if (!["", "AB", "CD", "ABCD", "CDAB"].includes(written)) return yield* Effect.fail(`committed ${written}`)
              if (Exit.isSuccess(exit) && written.length !== 4) {
                return yield* Effect.fail(`succeeded, but committed ${written}`)
              }
              if (state.transaction) return yield* Effect.fail("a transaction is open")
              if (state.leased !== 0) return yield* Effect.fail("a connection is still leased")
              yield* sql`E`
              yield* pool.awaitIdle
            })
        })
        yield* Interruption.assertSafe(Effect.succeed(report))
        assert.isAbove(report.operations, 50)
      }),
    60_000
  )

  it.effect("a permit that is granted at the moment of an interruption is passed on", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: Effect.sync(() => makePermits(1, () => "closed")),
        program: (permits) => {
          const hold = Effect.scoped(Effect.zipRight(permits.acquire, Effect.yieldNow()))
          return Effect.gen(function*() {
            const others = [yield* Effect.fork(hold), yield* Effect.fork(hold)]
            yield* hold
            for (const other of others) yield* Fiber.join(other)
          })
        },
        invariant: (permits) => Effect.zipRight(permits.awaitIdle, Effect.scoped(permits.acquire))
      })
      yield* Interruption.assertSafe(Effect.succeed(report))
    }), 60_000)

  it.effect("a closed queue refuses new waiters and keeps those it has; `rejectWaiters` fails them too", () =>
    Effect.gen(function*() {
      const permits = makePermits(1, () => "closed" as const)
      const held = yield* Effect.fork(Effect.scoped(Effect.zipRight(permits.acquire, Effect.never)))
      yield* Effect.yieldNow()
      const [first, second] = [
        yield* Effect.fork(Effect.scoped(Effect.zipRight(permits.acquire, Effect.never))),
        yield* Effect.fork(Effect.scoped(permits.acquire))
      ]
      yield* Effect.yieldNow()
      yield* permits.close
      assert.strictEqual(yield* Effect.flip(Effect.scoped(permits.acquire)), "closed")
      yield* Fiber.interrupt(held)
      yield* permits.rejectWaiters
      assert.strictEqual(yield* Effect.flip(Fiber.join(second)), "closed")
      yield* Fiber.interrupt(first)
      yield* permits.awaitIdle
    }))
})
