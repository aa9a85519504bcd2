import type { SqlClient } from "@effect/sql"
import type { PgClient } from "@effect/sql-pg"
import { Deferred, Effect, Fiber, type Scope, Stream } from "effect"
import type { ClientOptions } from "../../../src/layers/database/Database.js"

/** What runs the statements: `Database` over each of its two databases, and the client whose place it takes. */
export type Target = "PostgreSQL" | "PGlite" | "PgClient.layer"

type Options = Pick<ClientOptions, "transformQueryNames" | "transformResultNames" | "types">

export interface World {
  /** Shared by all cases of a target. On a server it has two connections. */
  readonly sql: PgClient.PgClient
  /** A client of the case's own, for options, and for what loses connections. On a server it has so many connections, two by default. */
  readonly open: (
    options?: Options & { readonly connections?: number }
  ) => Effect.Effect<PgClient.PgClient, unknown, Scope.Scope>
}

type Test = (world: World) => Effect.Effect<void, unknown, Scope.Scope>

/** What one of them does instead, and why: a row of a table in docs/database.md. Its test passes there, in the place of the case's. */
export interface Difference {
  readonly on: Target
  readonly behavior: string
  readonly reason: string
  readonly test: Test
}

/** What SQL does in some situation: a test, and a row of a table in docs/database.md. */
export interface SqlCase {
  readonly situation: string
  readonly behavior: string
  readonly test: Test
  readonly differences?: ReadonlyArray<Difference>
}

export const testOn = (target: Target, { behavior, differences = [], situation, test }: SqlCase) => {
  const difference = differences.find(({ on }) => on === target)
  return { title: `${situation}: ${difference?.behavior ?? behavior}`, test: difference?.test ?? test }
}

let tables = 0

/** Creates a table for one test, with one column of numbers. */
export const makeTable = (sql: SqlClient.SqlClient) =>
  Effect.gen(function*() {
    const identifier = `numbers_${++tables}_${Math.random().toString(36).slice(2)}`
    const name = sql(identifier)
    yield* sql`CREATE TABLE ${name} (n integer)`
    return {
      identifier,
      name,
      add: (n: number) => sql`INSERT INTO ${name} VALUES (${n})`,
      all: Effect.map(sql<{ n: number }>`SELECT n FROM ${name} ORDER BY n`, (rows) => rows.map((row) => row.n))
    }
  })

/** The numbers from 1 to this one. */
export const series = (sql: SqlClient.SqlClient, to: number) =>
  sql<{ n: number }>`SELECT n FROM generate_series(1, ${to}::int) AS n`.stream

/** Runs `during` while another fiber is in a transaction, which then commits. */
export const duringTransaction = <A, E, R>(sql: SqlClient.SqlClient, during: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const inside = yield* Deferred.make<void>()
    const enough = yield* Deferred.make<void>()
    const holder = yield* Effect.fork(
      sql.withTransaction(Effect.zipRight(Deferred.succeed(inside, void 0), Deferred.await(enough)))
    )
    yield* Deferred.await(inside)
    const result = yield* during
    yield* Deferred.succeed(enough, void 0)
    yield* Fiber.join(holder)
    return result
  })

/** Whether it completes within this time. It may go on. */
export const completes = (effect: Effect.Effect<unknown, unknown>, within: "200 millis" | "20 seconds") =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkDaemon(effect)
    const completed = yield* Effect.race(
      Effect.as(Effect.exit(Fiber.await(fiber)), true),
      Effect.as(Effect.sleep(within), false)
    )
    if (!completed) yield* Fiber.interruptFork(fiber)
    return completed
  })

const notify = (sql: SqlClient.SqlClient, channel: string, payload: string) =>
  sql`SELECT pg_notify(${channel}, ${payload})`

/**
 * Listens, and completes when a notification has arrived: a listener says nothing of its start. `heard` grows; `next` completes with the
 * next one that is no `ready`.
 */
export const hearing = (sql: PgClient.PgClient, listener: PgClient.PgClient, channel: string) =>
  Effect.gen(function*() {
    const heard: Array<string> = []
    const ready = yield* Deferred.make<void>()
    let wanted: { readonly last: string; readonly done: Deferred.Deferred<void> } | undefined
    const fiber = yield* Effect.forkScoped(
      Stream.runForEach(listener.listen(channel), (payload) =>
        Effect.suspend(() => {
          if (payload === "ready") return Deferred.succeed(ready, void 0)
          heard.push(payload)
          return payload === wanted?.last ? Deferred.succeed(wanted.done, void 0) : Effect.void
        }))
    )
    yield* Effect.raceFirst(
      Deferred.await(ready),
      Effect.forever(Effect.zipRight(notify(sql, channel, "ready"), Effect.sleep("10 millis")))
    )
    return {
      heard,
      stop: Fiber.interrupt(fiber),
      /** Completes when this one has arrived. */
      until: (last: string) =>
        Effect.gen(function*() {
          if (heard.includes(last)) return
          wanted = { last, done: yield* Deferred.make<void>() }
          yield* Deferred.await(wanted.done)
        })
    }
  })
