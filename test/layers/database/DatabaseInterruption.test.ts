import { Reactivity } from "@effect/experimental"
import * as Sql from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { brief, own, transactionEnding } from "../../../src/layers/database/contract.js"
import { Connection } from "../../../src/layers/database/internal/connection.js"
import { makeConnectionPool } from "../../../src/layers/database/internal/connectionPool.js"
import { makeErrors } from "../../../src/layers/database/internal/errors.js"
import { makePermits, PermitRequest } from "../../../src/layers/database/internal/permits.js"
import * as Interruption from "../../../src/testing/Interruption.js"
import { long } from "../../kit/long.js"
import { sqlClientOver } from "../../kit/sqlClientOver.js"

/** Every point in the long form, some in the short one. */
const extent = long ? {} : { sample: 150 }

/** A server with one connection, in memory: it keeps what is committed. */
const makeServer = (pipelines: boolean) =>
  Effect.gen(function*() {
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
    const pool = makeConnectionPool(1, makeErrors(Sql), (done) => {
      state.leased++
      done(Exit.succeed({
        pipelines,
        send: (text, _values, _rowMode, done, { after, before } = { before: [], after: [] }) =>
          void Promise.resolve().then(() => {
            before.forEach(answer)
            const result = answer(text)
            after.forEach(answer)
            return result
          }).then((result) => done(Exit.succeed(result))),
        cancel: Effect.void,
        destroy: () => undefined,
        giveBack: () => void state.leased--
      }))
    })
    const sql = sqlClientOver(pool, yield* Reactivity.make)
    return { state, pool, sql }
  })

describe("Database: every point of interruption", () => {
  for (const pipelines of [false, true]) {
    it.effect(
      `no transaction stays open or is committed in part, and no connection is lost, ${
        pipelines ? "with" : "without"
      } a driver that pipelines`,
      () =>
        Effect.gen(function*() {
          const report = yield* Interruption.explore({
            setup: makeServer(pipelines),
            ...extent,
            program: ({ sql }) =>
              Effect.gen(function*() {
                const write = (text: string) => sql.unsafe(text, [0])
                const other = yield* Effect.fork(
                  transactionEnding(sql, Effect.as(write("C"), [undefined, "D", [0]] as const), (error) => error)
                )
                yield* sql.withTransaction(Effect.zipRight(write("A"), sql.withTransaction(write("B"))))
                yield* sql.withTransaction(Effect.void)
                yield* Fiber.join(other)
              }),
            invariant: ({ pool, sql, state }, exit) =>
              Effect.gen(function*() {
                const written = state.committed.map((text) => text.replace("/* own */ ", ""))
                  .filter((text) => /^[A-D]$/.test(text)).join("")
                if (!["", "AB", "CD", "ABCD", "CDAB"].includes(written)) {
                  return yield* Effect.fail(`committed ${written}`)
                }
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
  }

  it.effect(
    "a connection that is granted at the moment of an interruption goes to the next in the queue",
    () =>
      Effect.gen(function*() {
        const report = yield* Interruption.explore({
          setup: makeServer(false),
          program: ({ pool }) => {
            const hold = Effect.scoped(Effect.zipRight(pool.lease, Effect.yieldNow()))
            return Effect.gen(function*() {
              const other = yield* Effect.fork(hold)
              const statement = yield* Effect.fork(pool.query("A", [], "object"))
              yield* hold
              yield* Fiber.join(other)
              yield* Fiber.join(statement)
            })
          },
          invariant: ({ pool, state }) =>
            Effect.gen(function*() {
              yield* pool.awaitIdle
              if (state.leased !== 0) return yield* Effect.fail("a connection is still leased")
              yield* Effect.scoped(pool.lease)
            })
        })
        yield* Interruption.assertSafe(Effect.succeed(report))
      }),
    60_000
  )

  it.effect("a COMMIT without an answer loses its connection, a brief statement sooner, one of the library later, one of the app does not", () =>
    Effect.gen(function*() {
      const errors = makeErrors(Sql)
      const silent = () => {
        let lose: (exit: Exit.Exit<never, Sql.SqlError.SqlError>) => void
        const connection = new Connection({
          send: (_text, _values, _rowMode, done) => {
            lose = done
          },
          cancel: Effect.void,
          destroy: () => lose(Exit.fail(errors.lost())),
          giveBack: () => undefined
        }, errors)
        return connection
      }
      /** Looks at a connection until it is destroyed, and returns how often it has. */
      const look = (connection: Connection, all = false) => {
        let looks = 1
        while (
          !connection.destroyIfSilent({ brief: 1, transaction: 2, own: 3, others: all ? 2 : Infinity }) && looks < 10
        ) {
          looks++
        }
        return looks
      }
      const committing = silent()
      const commit = yield* Effect.fork(Effect.flip(committing.commit()))
      yield* Effect.yieldNow()
      assert.strictEqual(look(committing), 3)
      assert.include((yield* Fiber.join(commit)).message, "connection was lost")
      assert.isFalse(committing.usable)

      const claiming = silent()
      const claim = yield* Effect.fork(Effect.flip(claiming.query(brief("SELECT 1"), [], "object")))
      yield* Effect.yieldNow()
      assert.strictEqual(look(claiming), 2)
      assert.include((yield* Fiber.join(claim)).message, "connection was lost")

      const offering = silent()
      const offer = yield* Effect.fork(Effect.flip(offering.query(own("SELECT 1"), [], "object")))
      yield* Effect.yieldNow()
      assert.strictEqual(look(offering), 4)
      assert.include((yield* Fiber.join(offer)).message, "connection was lost")

      const querying = silent()
      const query = yield* Effect.fork(Effect.flip(querying.query("SELECT 1", [], "object")))
      yield* Effect.yieldNow()
      assert.strictEqual(look(querying), 10)
      assert.isTrue(querying.usable)
      assert.strictEqual(look(querying, true), 1)
      assert.include((yield* Fiber.join(query)).message, "connection was lost")
    }))

  it.effect("a closed queue refuses new requests and keeps those it has; `rejectWaiters` refuses them too", () =>
    Effect.gen(function*() {
      const permits = makePermits(1)
      const journal: Array<string> = []
      const request = (name: string) => {
        const request = new PermitRequest((outcome) => journal.push(`${name} ${outcome}`))
        permits.request(request)
        return request
      }
      const held = request("held")
      const first = request("first")
      request("second")
      yield* permits.close
      request("late")
      permits.leave(held)
      permits.leave(held)
      yield* permits.rejectWaiters
      const idle = yield* Effect.fork(permits.awaitIdle)
      yield* Effect.yieldNow()
      assert.isNull(idle.unsafePoll())
      permits.leave(first)
      yield* Fiber.join(idle)
      assert.deepStrictEqual(journal, ["held granted", "late refused", "first granted", "second refused"])
    }))
})
