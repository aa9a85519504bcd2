import { SqlClient, SqlSchema } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { assert, beforeAll, describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Queue, Redacted, Schema, Stream, String } from "effect"
import pg from "pg"
import * as Database from "../../../src/layers/database/Database.js"
import { JobSource } from "../../../src/layers/jobs/JobSource.js"
import * as JobSourceSql from "../../../src/layers/jobs/sql/JobSourceSql.js"
import { databaseFolder } from "../../kit/pglite.js"
import { describePostgres } from "../../kit/postgres.js"

/** An app as it is written for `PgClient`: it reads JSON and camel case, listens, and converts types. */
const app = Effect.gen(function*() {
  const sql = yield* PgClient.PgClient
  yield* sql`DROP TABLE IF EXISTS people`
  yield* sql`CREATE TABLE people (id bigint, first_name text, home_address jsonb)`
  yield* sql`INSERT INTO people ${
    sql.insert({ id: 1, firstName: "Ada", homeAddress: sql.json({ streetName: "Main", rooms: [{ floorNumber: 1 }] }) })
  }`
  const find = SqlSchema.single({
    Request: Schema.Number,
    Result: Schema.Struct({ id: Schema.Number, firstName: Schema.String, homeAddress: Schema.Unknown }),
    execute: (id) => sql`SELECT * FROM people WHERE id = ${id}`
  })
  const transformed = yield* sql.withTransaction(find(1))
  const [raw] = yield* sql.withoutTransforms()<{ stored: string; first_name: string }>`
    SELECT home_address::text AS stored, first_name FROM people`
  const streamed = yield* Stream.runCollect(sql<{ firstName: string }>`SELECT first_name FROM people`.stream)
  return { transformed, raw, streamed: [...streamed], generic: (yield* SqlClient.SqlClient) === sql }
})

const conversions = {
  transformQueryNames: String.camelToSnake,
  transformResultNames: String.snakeToCamel,
  types: {
    getTypeParser:
      ((oid: number, format: "text") =>
        oid === 20 ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser
  }
}

const answer = {
  transformed: { id: 1, firstName: "Ada", homeAddress: { streetName: "Main", rooms: [{ floorNumber: 1 }] } },
  raw: { stored: `{"rooms": [{"floor_number": 1}], "street_name": "Main"}`, first_name: "Ada" },
  streamed: [{ firstName: "Ada" }],
  generic: true
}

const suite = (url: () => string) => {
  const layer = (options: Database.Options) => Layer.orDie(Database.layer({ url: Redacted.make(url()), ...options }))

  it.live("an app for `PgClient` runs unchanged, with its conversions", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Effect.provide(app, layer(conversions)), answer)
    }))

  it.scopedLive("it hears notifications, and only those", () =>
    Effect.gen(function*() {
      const context = yield* Layer.build(layer({}))
      const sql = Context.get(context, PgClient.PgClient)
      const listening = yield* Deferred.make<void>()
      const started = Context.get(context, Database.Database).listen("some channel").pipe(
        Stream.tap(() => Deferred.succeed(listening, void 0)),
        Stream.runDrain
      )
      yield* Effect.forkScoped(started)
      const heard = yield* Effect.fork(Stream.runCollect(Stream.take(sql.listen("some channel"), 1)))
      yield* Deferred.await(listening)
      // A listener says nothing of its start: the notification is repeated until it is there.
      const notified = yield* Effect.fork(
        Effect.forever(Effect.zipRight(sql.notify("some channel", "news"), Effect.sleep("20 millis")))
      )
      assert.deepStrictEqual([...(yield* Fiber.join(heard))], ["news"])
      yield* Fiber.interrupt(notified)
    }))
}

describe("Database on PGlite, in the place of PgClient", () => {
  let folder: string
  beforeAll(async () => {
    folder = await databaseFolder()
  })
  suite(() => `pglite:${folder}`)
})

describePostgres("Database on PostgreSQL, in the place of PgClient", (server) => {
  suite(() => server.url)

  it.live("the app does the same over PgClient.layer", () =>
    Effect.gen(function*() {
      const stock = PgClient.layer({ url: Redacted.make(server.url), ...conversions })
      assert.deepStrictEqual(yield* Effect.provide(app, Layer.orDie(stock)), answer)
    }))

  it.live("it is found by host, port, user and database, and its configuration names them", () =>
    Effect.gen(function*() {
      const url = new URL(server.url)
      const layer = Database.layer({
        host: url.hostname,
        port: Number(url.port),
        username: url.username,
        database: url.pathname.slice(1),
        applicationName: "shop",
        minConnections: 1,
        idleTimeout: "1 minute",
        connectionTTL: "1 hour"
      })
      const found = Effect.gen(function*() {
        const sql = yield* PgClient.PgClient
        const { database, host, port, username } = sql.config
        return [yield* sql`SELECT current_setting('application_name') AS name`, host, port, username, database]
      })
      assert.deepStrictEqual(
        yield* Effect.provide(found, Layer.orDie(layer)),
        [[{ name: "shop" }], url.hostname, Number(url.port), url.username, url.pathname.slice(1)]
      )
    }))

  it.scopedLive("over an app's own PgClient: migrations, `once`, jobs and notifications share its transactions", () =>
    Effect.gen(function*() {
      const Own = Layer.orDie(PgClient.layer({ url: Redacted.make(server.url), maxConnections: 4 }))
      const context = yield* Layer.build(Layer.provideMerge(
        Layer.mergeAll(
          JobSourceSql.layer({ table: "own_jobs", pollInterval: "1 hour" }),
          Layer.orDie(
            Database.migrations({
              "0001_own": Effect.flatMap(SqlClient.SqlClient, (sql) => sql`CREATE TABLE own (n int)`)
            })
          )
        ),
        Layer.provideMerge(Database.fromPgClient, Own)
      ))
      const sql = Context.get(context, PgClient.PgClient)
      const { listen, notify, reserved } = Context.get(context, Database.Database)
      const queue = yield* Context.get(context, JobSource).open({ name: "own", lease: undefined })
      const heard = yield* Queue.unbounded<string>()
      yield* Effect.forkScoped(Stream.runForEach(listen("own"), (payload) => Queue.offer(heard, payload)))
      assert.strictEqual(yield* Queue.take(heard), "")

      const written = (n: number) =>
        Database.once("own", Effect.all([sql`INSERT INTO own VALUES (${n})`, queue.offer([n]), notify("own", `${n}`)]))
          .pipe(Effect.provide(context))
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(written(1), Effect.fail("no"))))
      yield* written(2)
      yield* written(3)
      assert.strictEqual(yield* Queue.take(heard), "2")
      assert.deepStrictEqual(yield* sql`SELECT n FROM own`, [{ n: 2 }])
      const [claim] = yield* queue.claim(10)
      assert.deepStrictEqual(claim!.payload, 2)

      // The reserved client joins no transaction.
      yield* Effect.ignore(
        sql.withTransaction(Effect.zipRight(reserved`INSERT INTO own VALUES (4)`, Effect.fail("no")))
      )
      assert.deepStrictEqual(yield* reserved`SELECT n FROM own ORDER BY n`, [{ n: 2 }, { n: 4 }])
    }))

  it("satisfies a layer that needs PgClient", () => {
    const Needs = Layer.effectDiscard(PgClient.PgClient)
    const provided = Layer.provide(Needs, Database.layerFromEnv)
    expectTypeOf(provided).toMatchTypeOf<Layer.Layer<never, unknown>>()
  })
})
