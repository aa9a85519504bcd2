import type { SqlError } from "@effect/sql"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { aroundStatements } from "../../../kit/aroundStatements.js"
import { openDatabase, type Opened } from "../../../kit/database.js"
import { makeMemoryCarrier } from "../../../kit/memoryCarrier.js"
import { describePostgres } from "../../../kit/postgres.js"
import { eventually } from "../../../kit/until.js"
import { carried, holds, newTable } from "./JobSourceCarriedWorld.js"

type Around = <A>(take: Effect.Effect<A, SqlError.SqlError>) => Effect.Effect<A, SqlError.SqlError>

/** A process whose statement that takes the rows to be offered runs inside of `around`. */
const aroundTake = (opened: Opened, around: Around): Opened => {
  const { reserved } = opened.database
  const wrapped = aroundStatements(
    reserved,
    (statement, text) => text.includes(".take.") ? around(statement) : statement
  )
  return { ...opened, database: { ...opened.database, reserved: wrapped } }
}

describePostgres("JobSourceSql with a carrier in two processes", (postgres) => {
  it.scopedLive("jobs offered together reach the carrier together and in order", () =>
    Effect.gen(function*() {
      const carrier = makeMemoryCarrier("1 hour")
      const table = newTable()
      const [one] = yield* Effect.forEach([1, 2], () =>
        Effect.flatMap(
          Effect.flatMap(openDatabase(postgres.url), (opened) => carried(opened, carrier, { table })),
          (source) => source.open({ name: "jobs" })
        ))
      const batches = Array.from({ length: 100 }, (_, n) => [`${n}-a`, `${n}-b`, `${n}-c`])
      yield* Effect.forEach(batches, (ids) => one!.offer(ids, { ids }))
      yield* holds(carrier, batches.flat())
      const calls = carrier.offers.map(({ ids }) => ids.join(" "))
      assert.deepStrictEqual(batches.filter((ids) => !calls.some((call) => call.includes(ids.join(" ")))), [])
    }))

  it.scopedLive("a queue may have any name", () =>
    Effect.gen(function*() {
      const opened = yield* openDatabase(postgres.url)
      const source = yield* carried(opened, makeMemoryCarrier("1 hour"), { table: newTable() })
      const queue = yield* source.open({ name: "it's \\'; $1 $$ \"`" })
      yield* queue.offer(["job"])
      const [claim] = yield* eventually("the job", queue.claim(1), (claims) => claims.length > 0)
      assert.strictEqual(claim!.payload, "job")
    }))

  it.scopedLive("a claim finds a job that another process has waited to offer, too", () =>
    Effect.gen(function*() {
      const carrier = makeMemoryCarrier("1 hour")
      const table = newTable()
      const [one, other] = yield* Effect.all([openDatabase(postgres.url), openDatabase(postgres.url)])
      const [offered, taken, waited, end] = yield* Effect.all(Array.from({ length: 4 }, () => Effect.makeLatch()))
      const otherWaits = eventually(
        "the other process waits for its turn",
        one.sql<{ waits: boolean }>`
          SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted) AS waits`,
        ([row]) => row!.waits
      )
      let turns = 0
      const sourceOf = (opened: Opened, around: Around) =>
        Effect.flatMap(
          carried(aroundTake(opened, around), carrier, { table }),
          (source) => source.open({ name: "jobs" })
        )

      const queue = yield* sourceOf(one, (take) =>
        Effect.zipRight(
          offered!.await,
          Effect.suspend(() =>
            turns++ > 0 ? Effect.zipRight(end!.await, take) : one.database.reserved.withTransaction(
              Effect.zipLeft(take, Effect.zipRight(taken!.open, Effect.orDie(otherWaits)))
            )
          )
        ))
      yield* sourceOf(other, (take) =>
        Effect.zipRight(
          taken!.await,
          other.database.reserved.withTransaction(
            Effect.zipLeft(take, Effect.zipRight(waited!.open, end!.await))
          )
        ))
      yield* queue.offer(["job"], { ids: ["job"] })
      yield* offered!.open
      yield* waited!.await
      yield* holds(carrier, ["job"])
      const claims = yield* Effect.ensuring(queue.claim(1), end!.open)
      assert.deepStrictEqual(claims.map(({ id }) => id), ["job"])
    }))
})
