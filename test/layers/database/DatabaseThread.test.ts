// Statements that a thread runs while this one is blocked.
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, Redacted } from "effect"
import { execFileSync } from "node:child_process"
import * as Net from "node:net"
import * as Database from "../../../src/layers/database/Database.js"
import { certificate, key } from "../../fixtures/http/certificate.js"
import { describePostgresServer } from "../../kit/postgres.js"

/** Blocks this thread until the statement is true. */
const blockUntil = (url: string, statement: string) =>
  execFileSync(process.execPath, [
    "-e",
    `
    const { Client } = require("pg")
    const client = new Client(${JSON.stringify(url)})
    const look = async () => (await client.query(${JSON.stringify(statement)})).rows[0].found || look()
    client.connect().then(look).then(() => client.end())
  `
  ], { timeout: 60_000 })

describePostgresServer("the thread of a database", (server) => {
  it.scopedLive(
    "runs a statement while the event loop is blocked, over TLS and as a user with a password",
    () =>
      Effect.gen(function*() {
        const write = (file: string, text: string) =>
          server.query(`COPY (SELECT ${
            text.trim().split("\n").map((line) => `'${line}'`).join(" UNION ALL SELECT ")
          }) TO PROGRAM 'umask 077; cat > ${file}'`)
        yield* Effect.promise(async () => {
          await server.query("CREATE TABLE beats (text text); SET password_encryption = 'scram-sha-256'")
          await server.query("CREATE ROLE app SUPERUSER LOGIN PASSWORD 'secret'")
          await write("server.key", key)
          await write("server.crt", certificate)
          await write("pg_hba.conf", "hostssl all app all scram-sha-256\nhost all postgres all trust")
          await server.query("ALTER SYSTEM SET ssl = on")
          await server.query("SELECT pg_reload_conf()")
        })
        const url = new URL(server.url)
        const layer = Database.layer({
          host: "localhost",
          port: Number(url.port),
          database: url.pathname.slice(1),
          username: "app",
          password: Redacted.make("secret"),
          ssl: { ca: certificate }
        })
        yield* Effect.gen(function*() {
          const { thread } = yield* Database.Database
          const connection = yield* thread!
          const { hold } = yield* connection.repeat({
            message: { before: "INSERT INTO beats SELECT * FROM unnest('{", after: "}'::text[])" },
            every: Duration.millis(20),
            longest: Duration.minutes(1)
          })
          hold("one")
          hold("two")
          blockUntil(server.url, "SELECT count(*) > 5 AS found FROM beats")
          const texts = yield* Effect.promise(() =>
            server.query("SELECT DISTINCT text FROM beats ORDER BY text")
          )
          assert.deepStrictEqual(texts, [{ text: "one" }, { text: "two" }])
          const connections = yield* Effect.promise(() =>
            server.query(
              "SELECT usename, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE application_name = 'lastcall leases'"
            )
          )
          assert.deepStrictEqual(connections, [{ usename: "app", ssl: true }])
        }).pipe(Effect.provide(layer))
      }),
    120_000
  )

  it.scopedLive("is not there for an app that makes its own sockets, which one warning says", () => {
    const logged: Array<unknown> = []
    const logger = Logger.make(({ logLevel, message }) => void (logLevel._tag === "Warning" && logged.push(message)))
    return Effect.gen(function*() {
      const { thread } = yield* Database.Database
      yield* thread!
      assert.deepStrictEqual(logged, [[
        "leases are not renewed while the event loop is blocked: the option stream makes sockets that no thread can have"
      ]])
    }).pipe(
      Effect.provide(Layer.provideMerge(
        Database.layer({ url: Redacted.make(server.url), stream: () => new Net.Socket() }),
        Logger.replace(Logger.defaultLogger, logger)
      ))
    )
  })
})
