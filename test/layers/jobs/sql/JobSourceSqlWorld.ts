import { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Redacted, Scope } from "effect"
import { afterAll, assert, beforeAll, describe } from "vitest"
import * as Database from "../../../../src/layers/database/Database.js"
import { type JobQueue, JobSource, type QueueOptions } from "../../../../src/layers/jobs/JobSource.js"
import * as JobSourceSql from "../../../../src/layers/jobs/sql/JobSourceSql.js"
import { jobSourceConformance } from "../../../conformance/jobSource.js"
import { aroundStatements } from "../../../kit/aroundStatements.js"
import { openDatabase, type Opened } from "../../../kit/database.js"
import { databaseFolder } from "../../../kit/pglite.js"
import { describePostgres } from "../../../kit/postgres.js"

/** Opens one database twice, as two processes do. */
export type Databases = Effect.Effect<readonly [Opened, Opened], Database.DatabaseError, Scope.Scope>

/** Runs tests over PGlite, where both processes share the one connection. */
export const describeEmbedded = (name: string, body: (databases: Databases) => void) =>
  describe(`${name} over PGlite`, () => {
    const scope = Effect.runSync(Scope.make())
    let opened: Opened
    beforeAll(async () => {
      opened = await Effect.runPromise(Scope.extend(openDatabase(`pglite:${await databaseFolder()}`), scope))
    })
    afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
    body(Effect.sync(() => [opened, opened]))
  })

/** Runs tests over PostgreSQL. */
export const describeServer = (name: string, body: (databases: Databases) => void): void =>
  describePostgres(`${name} over PostgreSQL`, (postgres) => {
    const open = Effect.suspend(() => openDatabase(postgres.url, { maxConnections: 3 }))
    body(Effect.all([open, open]))
  })

/** Runs the same tests over PGlite and over PostgreSQL. */
export const describeEngines = (name: string, body: (databases: Databases) => void): void => {
  describeEmbedded(name, body)
  describeServer(name, body)
}

/** Runs the same tests over an app's own `PgClient`, of which `Database.fromPgClient` makes a `Database`. */
export const describeOwnClients = (name: string, body: (databases: Databases) => void): void =>
  describePostgres(`${name} over an app's own PgClient`, (postgres) => {
    const open = Effect.suspend(() =>
      Layer.build(Layer.provideMerge(
        Database.fromPgClient,
        Layer.orDie(PgClient.layer({ url: Redacted.make(postgres.url), maxConnections: 4 }))
      ))
    ).pipe(Effect.map((context): Opened => ({
      sql: Context.get(context, SqlClient.SqlClient),
      database: Context.get(context, Database.Database),
      release: Effect.dieMessage("PgClient.layer has no drain")
    })))
    body(Effect.all([open, open]))
  })

/** The source of one process. */
export const source = ({ database, sql }: Opened, options: JobSourceSql.Options = {}) =>
  Layer.build(JobSourceSql.layer(options)).pipe(
    Effect.map(Context.get(JobSource)),
    Effect.provideService(Database.Database, database),
    Effect.provideService(SqlClient.SqlClient, sql)
  )

/** A client that runs an effect after the server has claimed jobs and before the caller has the response. */
export const afterClaim = (sql: SqlClient.SqlClient, effect: Effect.Effect<unknown>): SqlClient.SqlClient =>
  aroundStatements(
    sql,
    (statement, text) => text.includes("SKIP LOCKED") ? Effect.zipLeft(statement, effect) : statement
  )

let queues = 0

/** A new queue, opened by two processes. They poll once an hour, so only a notification wakes them. */
export const twoProcesses = (
  databases: Databases,
  { name = `queue-${++queues}`, ...options }: JobSourceSql.Options & Partial<QueueOptions> = {}
) =>
  Effect.gen(function*() {
    const open = (opened: Opened) =>
      Effect.flatMap(source(opened, { pollInterval: "1 hour", ...options }), (source) => source.open({ name }))
    const [first, second] = yield* databases
    const { sql } = first
    yield* sql`CREATE TABLE IF NOT EXISTS written (what text)`
    yield* sql`DELETE FROM written`
    return {
      one: yield* open(first),
      other: yield* open(second),
      sql,
      write: (what: string) => sql`INSERT INTO written VALUES (${what})`,
      written: Effect.map(sql<{ what: string }>`SELECT what FROM written ORDER BY what`, (rows) =>
        rows.map(({ what }) => what))
    }
  })

export const idsOf = (claims: ReadonlyArray<{ readonly id: string }>) => claims.map(({ id }) => id)

/** Acknowledges jobs that are held. */
export const end = (queue: JobQueue, claims: Parameters<JobQueue["acknowledge"]>[0]) =>
  Effect.map(queue.acknowledge(claims), (lost) => assert.deepStrictEqual(lost, []))

/** Runs an effect in a transaction of the first process, or the second, that stays open until the function that it returns says how it ends. */
export const makeOpenTransaction = (databases: Databases) => <A, E>(effect: Effect.Effect<A, E>, process: 0 | 1 = 0) =>
  Effect.gen(function*() {
    const { sql } = (yield* databases)[process]
    const begun = yield* Deferred.make<void>()
    const ending = yield* Deferred.make<"commit" | "roll back">()
    const fiber = yield* effect.pipe(
      Effect.zipRight(Deferred.succeed(begun, void 0)),
      Effect.zipRight(Deferred.await(ending)),
      Effect.filterOrFail((how) => how === "commit", () => "rolled back" as const),
      sql.withTransaction,
      Effect.fork
    )
    yield* Effect.raceFirst(Deferred.await(begun), Fiber.join(fiber))
    return (how: "commit" | "roll back") => Effect.zipRight(Deferred.succeed(ending, how), Fiber.await(fiber))
  })

let linesTables = 0

/** The suite of every `JobSource`, over two processes that share a database. */
export const sqlConformance = (databases: Databases) =>
  jobSourceConformance("the source in the database", {
    make: (world) =>
      Effect.gen(function*() {
        const [first, second] = yield* databases
        const options = { lease: "1 second", expireEvery: "100 millis", renewWhileBlocked: true, ...world } as const
        const { sql } = first
        const table = sql(`written_${++linesTables}`)
        yield* sql`CREATE TABLE ${table} (number serial, line text)`
        return {
          sources: [yield* source(first, options), yield* source(second, options)],
          write: (line) => Effect.asVoid(sql`INSERT INTO ${table} (line) VALUES (${line})`),
          written: Effect.map(
            sql<{ line: string }>`SELECT line FROM ${table} ORDER BY number`,
            (rows) => rows.map(({ line }) => line)
          ),
          transaction: sql.withTransaction
        }
      }),
    lease: "1 second",
    passTime: Effect.sleep,
    live: true,
    transactional: true
  })
