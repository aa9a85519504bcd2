import { assert } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { completes, makeTable, series, type SqlCase } from "./sqlCase.js"

const openCursors = "SELECT name FROM pg_cursors WHERE name <> ''"

const numbers = (rows: Stream.Stream<object, unknown>) =>
  Effect.map(Stream.runCollect(rows), (rows) => [...rows].map((row) => (row as { n: number }).n))

/** Rows that are read as they are fetched. */
export const streams: ReadonlyArray<SqlCase> = [
  {
    situation: "a stream",
    behavior: "fetches as it is read, and leaves its connection clean when its reader stops",
    test: ({ sql }) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* Stream.runCount(series(sql, 100_000)), 100_000)
        assert.strictEqual((yield* Stream.runCollect(Stream.take(series(sql, 100_000), 3))).length, 3)
        assert.strictEqual(yield* sql.withTransaction(Stream.runCount(series(sql, 1000))), 1000)
        yield* Effect.flip(Stream.runDrain(sql`SELECT 1 / (600 - n) FROM generate_series(1, 700) AS n`.stream))
        const cursors = Effect.all([sql.unsafe(openCursors), sql.unsafe(openCursors)], { concurrency: 2 })
        assert.deepStrictEqual(yield* cursors, [[], []])
      })
  },
  {
    situation: "a stream of rows that are locked, inserted, changed or deleted",
    behavior: "has every row, and takes effect",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { add, all, name } = yield* makeTable(sql)
        yield* Effect.forEach([1, 2, 3], add)
        assert.deepStrictEqual(
          yield* Effect.all([
            numbers(sql`SELECT n FROM ${name} ORDER BY n FOR UPDATE SKIP LOCKED`.stream),
            numbers(sql`WITH added AS (INSERT INTO ${name} VALUES (4) RETURNING n) SELECT n FROM added`.stream),
            numbers(sql`DELETE FROM ${name} WHERE n = 1 RETURNING n`.stream),
            sql.withTransaction(numbers(sql`UPDATE ${name} SET n = n + 10 WHERE n = ${2} RETURNING n`.stream)),
            numbers(sql`VALUES (1)`.stream.pipe(Stream.as({ n: 0 })))
          ]),
          [[1, 2, 3], [4], [1], [12], [0]]
        )
        assert.deepStrictEqual(yield* all, [3, 4, 12])
      })
  },
  {
    situation: "a stream that changes rows, outside of a transaction, whose reader fails",
    behavior: "is rolled back: what was deleted and not read is not lost",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { all, name } = yield* makeTable(sql)
        yield* sql`INSERT INTO ${name} SELECT generate_series(1, 600)`
        const taken = sql`DELETE FROM ${name} RETURNING n`.stream
        assert.strictEqual(yield* Effect.flip(Stream.runForEach(taken, () => Effect.fail("no"))), "no")
        assert.strictEqual((yield* all).length, 600)
      }),
    differences: (["PGlite", "PgClient.layer"] as const).map((on) => ({
      on,
      behavior: "is committed",
      reason: on === "PGlite"
        ? "its rows are fetched at once, so that the one connection is free for the reader"
        : "closing its cursor commits",
      test: ({ sql }) =>
        Effect.gen(function*() {
          const { all, name } = yield* makeTable(sql)
          yield* sql`INSERT INTO ${name} SELECT generate_series(1, 600)`
          const taken = sql`DELETE FROM ${name} RETURNING n`.stream
          assert.strictEqual(yield* Effect.flip(Stream.runForEach(taken, () => Effect.fail("no"))), "no")
          assert.deepStrictEqual(yield* all, [])
        })
    }))
  },
  {
    situation: "the reader of a stream, outside of a transaction",
    behavior: "runs statements, transactions and streams of its own",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { add, all, name } = yield* makeTable(sql)
        yield* Stream.runForEach(Stream.take(series(sql, 600), 3), ({ n }) => add(n))
        yield* Stream.runForEach(Stream.take(series(sql, 600), 2), ({ n }) => sql.withTransaction(add(n * 10)))
        yield* Stream.runForEach(Stream.take(series(sql, 600), 2), ({ n }) =>
          Effect.flatMap(Stream.runCount(sql`SELECT n FROM ${name} WHERE n > 9`.stream), (count) =>
            add(n * 100 + count)))
        assert.deepStrictEqual(yield* all, [1, 2, 3, 10, 20, 102, 203])
      })
  },
  {
    situation: "the reader of a stream, in one transaction with it",
    behavior: "runs statements in that transaction",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { add, all } = yield* makeTable(sql)
        const copy = Stream.runForEach(
          Stream.filter(series(sql, 600), ({ n }) => n % 300 === 0),
          ({ n }) => add(n)
        )
        yield* sql.withTransaction(copy)
        yield* Effect.ignore(sql.withTransaction(Effect.zipRight(copy, Effect.fail("no"))))
        assert.deepStrictEqual(yield* all, [300, 600])
      }),
    differences: [{
      on: "PgClient.layer",
      behavior: "waits for ever",
      reason: "its cursor occupies the connection between two fetches",
      test: ({ open }) =>
        Effect.gen(function*() {
          const sql = yield* open()
          const { add } = yield* makeTable(sql)
          const copy = Stream.runForEach(series(sql, 600), ({ n }) => add(n))
          assert.isFalse(yield* completes(sql.withTransaction(copy), "200 millis"))
        })
    }]
  },
  {
    situation: "a stream that fails in a transaction",
    behavior: "fails the transaction, and leaves its connection clean",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { add, all } = yield* makeTable(sql)
        const failing = Stream.runDrain(sql`SELECT 1 / (600 - n) FROM generate_series(1, 700) AS n`.stream)
        yield* Effect.flip(sql.withTransaction(Effect.zipRight(add(1), failing)))
        yield* Effect.flip(
          sql.withTransaction(Effect.zipRight(Stream.runDrain(series(sql, 600)), sql`SELECT 1 / 0`))
        )
        assert.deepStrictEqual(yield* all, [])
        assert.deepStrictEqual(yield* sql.unsafe(openCursors), [])
      })
  },
  {
    situation: "a transaction that interrupts the reader of a stream",
    behavior: "goes on",
    test: ({ sql }) =>
      Effect.gen(function*() {
        const { add, all } = yield* makeTable(sql)
        const reading = yield* Deferred.make<void>()
        const reader = yield* Effect.fork(
          Stream.runForEach(series(sql, 600), () => Effect.zipRight(Deferred.succeed(reading, void 0), Effect.never))
        )
        yield* Deferred.await(reading)
        yield* sql.withTransaction(Effect.all([add(1), Fiber.interrupt(reader), add(2)]))
        assert.deepStrictEqual(yield* all, [1, 2])
        assert.deepStrictEqual(yield* sql.unsafe(openCursors), [])
      })
  }
]
