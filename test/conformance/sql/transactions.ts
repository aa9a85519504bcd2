import { assert } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Option } from "effect"
import { completes, duringTransaction, makeTable, type SqlCase } from "./sqlCase.js"

/** Transactions, savepoints, and what of them is committed. */
export const transactions: ReadonlyArray<SqlCase> = [
  {
    situation: "a transaction",
    behavior: "commits as a whole, or not at all and fails as its effect does",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { add, all } = yield* makeTable(sql)
        assert.strictEqual(yield* sql.withTransaction(Effect.as(Effect.zipRight(add(1), add(2)), "done")), "done")
        const failed = yield* Effect.exit(sql.withTransaction(Effect.zipRight(add(3), Effect.fail("no"))))
        const died = yield* Effect.exit(sql.withTransaction(Effect.zipRight(add(4), Effect.die("no"))))
        assert.deepStrictEqual([failed, died], [Exit.fail("no"), Exit.die("no")])
        assert.deepStrictEqual(yield* all, [1, 2])
      })
  },
  {
    situation: "a transaction in a transaction",
    behavior: "is a savepoint: rolled back alone when it fails, to any depth, and with the whole",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { add, all } = yield* makeTable(sql)
        const nested = (n: number, inside: Effect.Effect<unknown, unknown> = Effect.void) =>
          Effect.ignore(sql.withTransaction(Effect.zipRight(add(n), inside)))
        yield* nested(1, Effect.all([nested(2, Effect.all([nested(3, Effect.fail("no")), nested(4)])), nested(5)]))
        yield* nested(6, Effect.zipRight(nested(7, nested(8)), Effect.fail("no")))
        yield* nested(9, nested(10, Effect.zipRight(nested(11), Effect.fail("no"))))
        assert.deepStrictEqual(yield* all, [1, 2, 4, 5, 9])
      })
  },
  {
    situation: "a savepoint that is interrupted",
    behavior: "leaves the rest of its transaction to commit",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { add, all } = yield* makeTable(sql)
        const inside = yield* Deferred.make<void>()
        yield* sql.withTransaction(Effect.all([
          add(1),
          Effect.raceFirst(
            Effect.flip(sql.withTransaction(Effect.all([add(2), Deferred.succeed(inside, void 0), Effect.never]))),
            Deferred.await(inside)
          ),
          add(3)
        ]))
        assert.deepStrictEqual(yield* all, [1, 3])
      })
  },
  {
    situation: "a transaction that is interrupted",
    behavior: "is rolled back, and its connection is used again",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { add, all } = yield* makeTable(sql)
        for (let round = 0; round < 4; round++) {
          const inside = yield* Deferred.make<void>()
          const fiber = yield* Effect.fork(
            sql.withTransaction(Effect.all([add(round), Deferred.succeed(inside, void 0), Effect.never]))
          )
          yield* Deferred.await(inside)
          yield* Fiber.interrupt(fiber)
        }
        assert.deepStrictEqual(yield* all, [])
      })
  },
  {
    situation: "a transaction in a finalizer of an interrupted fiber",
    behavior: "commits",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { add, all } = yield* makeTable(sql)
        const started = yield* Deferred.make<void>()
        const fiber = yield* Effect.fork(
          Effect.zipRight(Deferred.succeed(started, void 0), Effect.never).pipe(
            Effect.ensuring(Effect.orDie(sql.withTransaction(add(1))))
          )
        )
        yield* Deferred.await(started)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(yield* all, [1])
      })
  },
  {
    situation: "a commit that the server answers with a rollback (an error was caught in the transaction)",
    behavior: "fails",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { add, all } = yield* makeTable(sql)
        const error = yield* Effect.flip(sql.withTransaction(Effect.zipRight(add(1), Effect.ignore(sql`SELECT 1/0`))))
        assert.strictEqual(error.message, "The transaction was rolled back, not committed")
        assert.deepStrictEqual(yield* all, [])
      }),
    differences: [{
      on: "PgClient.layer",
      behavior: "succeeds, and its writes are lost",
      reason: "it does not look at the answer of `COMMIT`",
      test: ({ sql }) =>
        Effect.gen(function*() {
          const { add, all } = yield* makeTable(sql)
          yield* sql.withTransaction(Effect.zipRight(add(1), Effect.ignore(sql`SELECT 1/0`)))
          assert.deepStrictEqual(yield* all, [])
        })
    }]
  },
  {
    situation: "a commit that fails (a deferred constraint)",
    behavior: "is a `SqlError`",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { name } = yield* makeTable(sql)
        yield* sql`ALTER TABLE ${name} ADD UNIQUE (n) DEFERRABLE INITIALLY DEFERRED`
        const error = yield* Effect.flip(sql.withTransaction(sql`INSERT INTO ${name} VALUES (1), (1)`))
        assert.propertyVal(error.cause, "code", "23505")
      }),
    differences: [{
      on: "PgClient.layer",
      behavior: "is a defect",
      reason: "the commit is in `Effect.orDie`: no handler of errors sees it",
      test: ({ sql }) =>
        Effect.gen(function*() {
          const { name } = yield* makeTable(sql)
          yield* sql`ALTER TABLE ${name} ADD UNIQUE (n) DEFERRABLE INITIALLY DEFERRED`
          const cause = yield* Effect.flip(Effect.sandbox(
            sql.withTransaction(sql`INSERT INTO ${name} VALUES (1), (1)`)
          ))
          assert.propertyVal(Option.getOrThrow(Cause.dieOption(cause)), "_tag", "SqlError")
        })
    }]
  },
  {
    situation: "statements at the same time, in one transaction",
    behavior: "run one after another on its connection",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { add, all } = yield* makeTable(sql)
        const inside = Effect.forEach([1, 2, 3, 4], add, { concurrency: "unbounded" })
        yield* sql.withTransaction(inside)
        yield* Effect.ignore(sql.withTransaction(Effect.zipRight(inside, Effect.fail("no"))))
        assert.deepStrictEqual(yield* all, [1, 2, 3, 4])
      })
  },
  {
    situation: "two transactions at the same time",
    behavior: "are open together; where they conflict, one fails (`40001` when serializable)",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { add, name } = yield* makeTable(sql)
        yield* add(1)
        const change = sql`UPDATE ${name} SET n = n + 1`
        const read = sql`SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT n FROM ${name}`
        const inside = yield* Effect.makeLatch(false)
        const changed = yield* Effect.makeLatch(false)
        const slow = yield* Effect.fork(Effect.flip(sql.withTransaction(
          Effect.all([read, inside.open, changed.await, change])
        )))
        yield* inside.await
        yield* sql.withTransaction(Effect.zipRight(read, change))
        yield* changed.open
        assert.propertyVal((yield* Fiber.join(slow)).cause, "code", "40001")
      }),
    differences: [{
      on: "PGlite",
      behavior: "run one after the other: the second waits for the first, and they never conflict",
      reason: "it has one connection",
      test: ({ sql }) =>
        Effect.gen(function*() {
          const { add, all } = yield* makeTable(sql)
          const second = sql.withTransaction(add(2))
          const fiber = yield* duringTransaction(
            sql,
            Effect.gen(function*() {
              const fiber = yield* Effect.forkDaemon(second)
              assert.isFalse(yield* completes(Fiber.join(fiber), "200 millis"))
              return fiber
            })
          )
          yield* Fiber.join(fiber)
          assert.deepStrictEqual(yield* all, [2])
        })
    }]
  },
  {
    situation: "a fiber in a transaction that asks for another connection (`reserve`)",
    behavior: "gets one",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { add, all } = yield* makeTable(sql)
        const count = (text: string) =>
          Effect.scoped(Effect.flatMap(sql.reserve, (connection) => connection.execute(text, [], undefined)))
        yield* sql.withTransaction(Effect.zipRight(add(1), count("SELECT 1")))
        assert.deepStrictEqual(yield* all, [1])
      }),
    differences: [{
      on: "PGlite",
      behavior: "fails at once",
      reason: "it holds the one connection that there is, and would wait for itself",
      test: ({ sql }) =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(sql.withTransaction(Effect.scoped(sql.reserve)))
          assert.include(error.message, "The embedded database has one connection")
        })
    }]
  },
  {
    situation: "more transactions than connections",
    behavior: "wait in a queue, and all commit",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { add, all } = yield* makeTable(sql)
        const numbers = Array.from({ length: 30 }, (_, n) => n)
        yield* Effect.forEach(numbers, (n) => sql.withTransaction(Effect.zipRight(add(n), Effect.yieldNow())), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(yield* all, numbers)
      })
  }
]
