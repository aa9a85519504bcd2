import { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { assert, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, Layer, Queue, Redacted, Stream } from "effect"
import * as Database from "../../../src/layers/database/Database.js"
import { JobSource } from "../../../src/layers/jobs/JobSource.js"
import * as JobSourceSql from "../../../src/layers/jobs/sql/JobSourceSql.js"
import { describePostgres } from "../../kit/postgres.js"

describePostgres("Database on PostgreSQL, in the place of PgClient", (server) => {
  const ownClient = () => Layer.orDie(PgClient.layer({ url: Redacted.make(server.url), maxConnections: 4 }))

  it.live("`PgClient` and `SqlClient` are one client", () =>
    Effect.gen(function*() {
      const same = Effect.zipWith(PgClient.PgClient, SqlClient.SqlClient, (pg, sql) => pg === sql)
      assert.isTrue(yield* Effect.provide(same, Database.layer({ url: Redacted.make(server.url) })))
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
      const context = yield* Layer.build(Layer.provideMerge(
        Layer.mergeAll(
          JobSourceSql.layer({ table: "own_jobs", pollInterval: "1 hour" }),
          Layer.orDie(
            Database.migrations({
              "0001_own": Effect.flatMap(SqlClient.SqlClient, (sql) => sql`CREATE TABLE own (n int)`)
            })
          )
        ),
        Layer.provideMerge(Database.fromPgClient, ownClient())
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

  it.scopedLive.each(["Database.layer", "an app's own PgClient"])(
    "over %s, the reserved client has transactions of its own",
    (over) =>
      Effect.gen(function*() {
        const context = yield* Layer.build(
          over === "Database.layer"
            ? Layer.orDie(Database.layer({ url: Redacted.make(server.url) }))
            : Layer.provideMerge(Database.fromPgClient, ownClient())
        )
        const sql = Context.get(context, PgClient.PgClient)
        const { reserved } = Context.get(context, Database.Database)
        yield* sql`DROP TABLE IF EXISTS apart; CREATE TABLE apart (what text)`
        const write = (client: SqlClient.SqlClient, what: string) => client`INSERT INTO apart VALUES (${what})`
        const rolledBack = (client: SqlClient.SqlClient, body: Effect.Effect<unknown, unknown>) =>
          Effect.ignore(client.withTransaction(Effect.zipRight(body, Effect.fail("no"))))

        yield* rolledBack(reserved, Effect.all([write(reserved, "never"), write(sql, "outside")]))
        yield* rolledBack(
          sql,
          Effect.zipRight(
            reserved.withTransaction(
              Effect.all([write(reserved, "kept"), write(sql, "never"), rolledBack(reserved, write(reserved, "never"))])
            ),
            write(sql, "never")
          )
        )
        assert.deepStrictEqual(yield* sql`SELECT what FROM apart ORDER BY what`, [{ what: "kept" }, {
          what: "outside"
        }])
      })
  )

  it("satisfies a layer that needs PgClient", () => {
    const Needs = Layer.effectDiscard(PgClient.PgClient)
    const provided = Layer.provide(Needs, Database.layerFromEnv)
    expectTypeOf(provided).toMatchTypeOf<Layer.Layer<never, unknown>>()
  })
})
