import type { SqlClient } from "@effect/sql"
import { assert } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { eventually } from "../../kit/until.js"
import { completes, type Difference, duringTransaction, makeTable, type SqlCase } from "./sqlCase.js"

/** A statement that takes this long, and writes a row at its end. */
const slowly = (sql: SqlClient.SqlClient, table: ReturnType<SqlClient.SqlClient>, seconds: number) =>
  sql`INSERT INTO ${table} SELECT 1 FROM pg_sleep(${seconds}) /* slowly */`

const running = (sql: SqlClient.SqlClient) =>
  sql`SELECT pid FROM pg_stat_activity WHERE query LIKE '%/* slowly */' AND state = 'active' AND pid <> pg_backend_pid()`

/** Whether a fiber that waits for the only connection is interrupted within this time. */
const waitIsInterrupted = (sql: SqlClient.SqlClient, within: Parameters<typeof completes>[1]) =>
  duringTransaction(
    sql,
    Effect.gen(function*() {
      const waiting = yield* Effect.forkDaemon(sql.withTransaction(Effect.void))
      yield* Effect.yieldNow()
      return yield* completes(Fiber.interrupt(waiting), within)
    })
  )

const runsToItsEnd: Difference = {
  on: "PGlite",
  behavior: "runs to its end, and takes effect",
  reason: "it runs on the thread of the event loop, where nothing else happens meanwhile",
  test: ({ sql }) =>
    Effect.gen(function*() {
      const { all, name } = yield* makeTable(sql)
      // In a transaction it is sent at once.
      yield* sql.withTransaction(Effect.gen(function*() {
        const fiber = yield* Effect.fork(slowly(sql, name, 0.05))
        yield* Effect.repeatN(Effect.yieldNow(), 20)
        yield* Fiber.interrupt(fiber)
      }))
      assert.deepStrictEqual(yield* all, [1])
    })
}

/** Interruption, and the wait for a connection. */
export const interruption: ReadonlyArray<SqlCase> = [
  {
    situation: "a statement that is interrupted, as by `Effect.timeout`",
    behavior: "is cancelled in the server, and its connection is used again",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { all, name } = yield* makeTable(sql)
        const fiber = yield* Effect.fork(slowly(sql, name, 60))
        yield* eventually("it runs", running(sql), (rows) => rows.length === 1)
        assert.isTrue(yield* completes(Fiber.interrupt(fiber), "20 seconds"))
        yield* eventually("it has ended", running(sql), (rows) => rows.length === 0)
        assert.deepStrictEqual(yield* all, [])
      }),
    differences: [runsToItsEnd]
  },
  {
    situation: "a statement that is interrupted while every connection is in use",
    behavior: "is cancelled in the server",
    test: ({ open, sql }) =>
      Effect.gen(function*() {
        const { all, name } = yield* makeTable(sql)
        const full = yield* open({ connections: 1 })
        const fiber = yield* Effect.fork(slowly(full, name, 60))
        yield* eventually("it runs", running(sql), (rows) => rows.length === 1)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(yield* running(sql), [])
        assert.deepStrictEqual(yield* all, [])
      }),
    differences: [
      runsToItsEnd,
      {
        on: "PgClient.layer",
        behavior: "goes on in the server; the interruption takes 5 seconds",
        reason: "it is cancelled over a connection of the same pool",
        test: ({ open, sql }) =>
          Effect.gen(function*() {
            const { name } = yield* makeTable(sql)
            const full = yield* open({ connections: 1 })
            const fiber = yield* Effect.fork(slowly(full, name, 60))
            yield* eventually("it runs", running(sql), (rows) => rows.length === 1)
            yield* Fiber.interrupt(fiber)
            const rows = yield* running(sql)
            assert.strictEqual(rows.length, 1)
            yield* sql`SELECT pg_terminate_backend(${rows[0]!["pid"]})`
          })
      }
    ]
  },
  {
    situation: "a fiber that waits for a connection (`withTransaction`)",
    behavior: "can be interrupted",
    test: ({ open }) =>
      Effect.gen(function*() {
        assert.isTrue(yield* waitIsInterrupted(yield* open({ connections: 1 }), "20 seconds"))
      }),
    differences: [{
      on: "PgClient.layer",
      behavior: "cannot: a timeout has to wait for the connection",
      reason: "the connection is acquired uninterruptibly",
      test: ({ open }) =>
        Effect.gen(function*() {
          assert.isFalse(yield* waitIsInterrupted(yield* open({ connections: 1 }), "200 millis"))
        })
    }]
  },
  {
    situation: "a fiber that is interrupted while it waits for a connection (`reserve`, a stream)",
    behavior: "passes it on to the next in the queue",
    test: ({ open }) =>
      Effect.gen(function*() {
        const sql = yield* open({ connections: 1 })
        yield* duringTransaction(
          sql,
          Effect.gen(function*() {
            const waiting = [
              yield* Effect.forkDaemon(Effect.scoped(sql.reserve)),
              yield* Effect.forkDaemon(Stream.runDrain(sql`SELECT 1`.stream)),
              yield* Effect.forkDaemon(sql`SELECT 1`)
            ]
            yield* Effect.yieldNow()
            yield* Fiber.interruptAll(waiting)
          })
        )
        assert.deepStrictEqual(yield* sql.withTransaction(sql`SELECT 1 AS n`), [{ n: 1 }])
      }),
    differences: [{
      on: "PgClient.layer",
      behavior: "loses it for good",
      reason: "what the pool returns after the interruption is never released",
      test: ({ open }) =>
        Effect.gen(function*() {
          const sql = yield* open({ connections: 1 })
          yield* duringTransaction(
            sql,
            Effect.gen(function*() {
              const waiting = yield* Effect.forkDaemon(Effect.scoped(sql.reserve))
              yield* Effect.yieldNow()
              yield* Fiber.interruptFork(waiting)
              yield* Effect.yieldNow()
            })
          )
          assert.isFalse(yield* completes(sql`SELECT 1`, "200 millis"))
        })
    }]
  },
  {
    situation: "many fibers that are interrupted at any point",
    behavior: "leave every connection clean",
    test: ({ open }) =>
      Effect.gen(function*() {
        const sql = yield* open()
        const { add, all } = yield* makeTable(sql)
        yield* Effect.forEach(Array.from({ length: 120 }, (_, n) => n), (n) =>
          Effect.gen(function*() {
            const fiber = yield* Effect.fork(
              n % 3 === 0 ? sql`SELECT 1` : sql.withTransaction(Effect.zipRight(add(n), Effect.fail("no")))
            )
            yield* Effect.repeatN(Effect.yieldNow(), n % 40)
            yield* Fiber.interrupt(fiber)
          }), { concurrency: 12 })
        const both = yield* Effect.forEach([1, 2], () => sql.withTransaction(all), { concurrency: 2 })
        assert.deepStrictEqual(both, [[], []])
      })
  }
]
