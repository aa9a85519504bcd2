import { HttpServer as Platform } from "@effect/platform"
import { SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Cause, ConfigProvider, Context, Duration, Effect, Exit, Fiber, Layer, Logger } from "effect"
import { causeMessage } from "../../../src/core/internal/errorMessage.js"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import * as JobSourceMemory from "../../../src/layers/jobs/JobSourceMemory.js"
import { App } from "../../../src/programs/importer/App.js"
import { Importer } from "../../../src/programs/importer/Domain.js"
import { Http } from "../../../src/programs/importer/Http.js"
import { OrphanCleanup } from "../../../src/programs/importer/orphanCleanup.js"
import { DeadLetters } from "../../../src/programs/importer/store/DeadLetters.js"
import { Imports } from "../../../src/programs/importer/store/Imports.js"
import { Uploads } from "../../../src/programs/importer/store/Uploads.js"
import { RequestLimits } from "../../../src/programs/importer/withDatabaseTimeout.js"
import { databaseFolder } from "../../kit/pglite.js"
import { describePostgresServer } from "../../kit/postgres.js"
import { eventually } from "../../kit/until.js"
import {
  type Answer,
  chunk,
  connect,
  ended,
  head,
  hear,
  load,
  openDatabase,
  post,
  request,
  spendAttempts,
  start
} from "./world.js"

const many = (rows: number) => `n,text\n${Array.from({ length: rows }, (_, i) => `${i + 1},row ${i + 1}\n`).join("")}`

const large = { bodyBytes: 10_000_000 }

describe("a service that is restarted in the middle of an import", () => {
  it.live("continues from the last checkpoint, and loads each row once", () =>
    Effect.gen(function*() {
      const database = yield* openDatabase(`pglite:${yield* Effect.promise(databaseFolder)}`)
      const first = yield* start(database, large)
      const { body: { id } } = yield* post(first, many(100_000))
      yield* eventually("some rows are loaded", request(first, `/imports/${id}`), ({ body }) => body.rowsLoaded > 0)
      yield* first.stop
      const [left] = yield* first.sql`
        SELECT i.status, j.state, j.cursor IS NOT NULL AS checkpointed FROM imports i, lastcall_jobs j
        WHERE j.queue = 'importer'`
      assert.deepStrictEqual(left, { status: "Loading", state: "waiting", checkpointed: true }, "it was handed back")
      const world = yield* start(database, large)
      const { rowsLoaded, rowsRejected, status } = yield* ended(world, id)
      assert.deepStrictEqual([status, rowsLoaded, rowsRejected], ["Completed", 100_000, 0])
      const rows = yield* world.sql`
        SELECT count(*)::int AS n, min(row_number), max(row_number),
          bool_and(data->>'n' = row_number::text) AS right FROM import_rows`
      assert.deepStrictEqual(rows, [{ n: 100_000, min: 1, max: 100_000, right: true }])
    }).pipe(Effect.scoped), 60_000)
})

describe("a service that is stopped", () => {
  it.live(
    "ends the events of an unfinished import; a deleted import ends its events too",
    () =>
      Effect.gen(function*() {
        const database = yield* openDatabase(`pglite:${yield* Effect.promise(databaseFolder)}`)
        const world = yield* start(database)
        const upload = (id: string) =>
          Effect.as(
            world
              .sql`INSERT INTO imports (id, name, format, columns, status) VALUES (${id}, 'x', 'csv', '', 'Uploading')`,
            id
          )
        const follow = (id: string) =>
          Effect.gen(function*() {
            const socket = yield* connect(world)
            const heard = hear(socket, /\r\n0\r\n\r\n$/)
            const began = hear(socket, /"Uploading"/)
            socket.write(`GET /imports/${id}/events HTTP/1.1\r\nHost: test\r\n\r\n`)
            const all = yield* Effect.fork(heard)
            yield* began
            return all
          })
        const gone = yield* upload("00000000-0000-4000-8000-000000000001")
        const ending = yield* follow(gone)
        yield* world.sql`DELETE FROM imports WHERE id = ${gone}`
        assert.match(yield* Fiber.join(ending), /\r\n0\r\n\r\n$/)

        const waiting = yield* follow(yield* upload("00000000-0000-4000-8000-000000000002"))
        yield* Effect.fork(world.stop)
        // At once, long before `streamTimeout`.
        assert.match(yield* Effect.timeout(Fiber.join(waiting), "4 seconds"), /\r\n0\r\n\r\n$/)
      }).pipe(Effect.scoped),
    60_000
  )
})

describe("a row that cannot be written", () => {
  it.live(
    "fails its import after all attempts, with the reason, until the dead letter is retried or discarded",
    () =>
      Effect.gen(function*() {
        const database = yield* openDatabase(`pglite:${yield* Effect.promise(databaseFolder)}`)
        const world = yield* start(database)
        yield* world.sql`ALTER TABLE import_rows ADD CHECK (row_number < 5)`
        const { body: { id } } = yield* post(world, many(10))
        const { body: { id: other } } = yield* post(world, many(10))
        yield* spendAttempts(world, 2)
        const { failure, rowsLoaded, status } = yield* ended(world, id)
        yield* ended(world, other)
        assert.deepStrictEqual([status, rowsLoaded], ["Failed", 0])
        assert.isString(failure)

        const discarded = yield* request(world, `/dead-letters/${other}`, { method: "DELETE" })
        assert.deepStrictEqual([discarded.status, (yield* request(world, `/imports/${other}`)).body.status], [
          204,
          "Failed"
        ])
        const { body: { deadLetters: [letter, ...rest], next } } = yield* request(world, "/dead-letters")
        assert.deepStrictEqual(rest, [])
        assert.deepStrictEqual([letter.id, letter.importId, letter.error, next], [id, id, failure, null])
        assert.deepStrictEqual((yield* request(world, `/dead-letters/${id}`)).body, letter)
        const page = (after: string) =>
          Effect.map(request(world, `/dead-letters?limit=1&after=${after}`), (_) => _.body)
        assert.deepStrictEqual(yield* page("0.x"), {
          deadLetters: [letter],
          next: `${Date.parse(letter.failedAt)}.${id}`
        })
        assert.deepStrictEqual(yield* page(`${Date.parse(letter.failedAt)}.${id}`), { deadLetters: [], next: null })

        yield* world.sql`ALTER TABLE import_rows DROP CONSTRAINT import_rows_row_number_check`
        const retry = (id: string) => request(world, `/dead-letters/${id}/retry`, { method: "POST" })
        // The job console requeues the import as well.
        const redriven = yield* request(world, `/queues/importer/dead-letters/${id}/redrive?fromStart=true`, {
          method: "POST"
        })
        assert.strictEqual(redriven.status, 202)
        const done = yield* ended(world, id)
        assert.deepStrictEqual([done.status, done.rowsLoaded, done.failure], ["Completed", 10, undefined])
        const again = yield* retry(id)
        assert.deepStrictEqual([again.status, again.body._tag], [404, "DeadLetterNotFound"])
        assert.deepStrictEqual(yield* world.sql`SELECT * FROM import_chunks`, [])
      }).pipe(Effect.scoped),
    60_000
  )
})

const isAway = ({ body, headers, status }: Answer) => {
  assert.deepStrictEqual([status, body._tag], [503, "DatabaseUnavailable"])
  assert.isAbove(Number(headers.get("retry-after")), 0)
}

describePostgresServer("a database", (server) => {
  it.live(
    "that refuses connections or does not answer: requests get 503 with Retry-After, and imports continue when it returns",
    () =>
      Effect.gen(function*() {
        const database = yield* openDatabase(server.url)
        const world = yield* start(database, { ...large, databaseTimeout: "3 seconds" })
        const { body: { id } } = yield* post(world, many(100_000))
        yield* eventually("some rows are loaded", request(world, `/imports/${id}`), ({ body }) => body.rowsLoaded > 0)

        const socket = yield* connect(world)
        const uploading = hear(socket, /DatabaseUnavailable/)
        socket.write(head() + chunk("a\n1\n"))
        yield* eventually("the upload has begun", world.sql`SELECT 1 FROM imports WHERE status = 'Uploading'`, (rows) =>
          rows.length > 0)

        yield* Effect.promise(() =>
          server.kill()
        )
        isAway(yield* request(world, "/imports"))
        isAway(yield* request(world, `/imports/${id}`))
        isAway(yield* post(world, "a\n1\n"))
        isAway(yield* request(world, `/imports/${id}`, { method: "DELETE" }))
        socket.write(chunk(""))
        assert.match(yield* uploading, /^HTTP\/1.1 503 /)
        assert.strictEqual((yield* request(world, "/status")).body.state, "Running")

        yield* Effect.promise(() => server.start())
        yield* eventually("the service answers", request(world, "/imports"), ({ status }) => status === 200)
        const { rowsLoaded, status } = yield* ended(world, id)
        assert.deepStrictEqual([status, rowsLoaded], ["Completed", 100_000])

        yield* Effect.acquireUseRelease(
          Effect.sync(() => server.freeze()),
          () => Effect.map(request(world, "/imports"), isAway),
          () => Effect.sync(() => server.thaw())
        )
        yield* eventually("the service answers", request(world, "/imports"), ({ status }) => status === 200)
        assert.strictEqual((yield* load(world, "a\n1\n")).rowsLoaded, 1)
      }).pipe(Effect.scoped),
    120_000
  )
})

describe("a defect in a handler", () => {
  it.live("is logged, and answered in JSON without its stack", () =>
    Effect.gen(function*() {
      const logged: Array<string> = []
      const log = Logger.make(({ cause, message }) => void logged.push(`${message} ${Cause.pretty(cause)}`))
      const broken = (error: unknown) => () => Effect.die(error)
      const lines = () => Effect.fail(new SqlError.SqlError({ message: "no", cause: new Error("secret") }))
      const imports = Imports.make({
        find: broken(new Error("secret")),
        list: broken(new Error("secret")),
        cancel: broken("secret"),
        rows: lines,
        rejects: lines
      })
      const services = yield* Layer.build(Http.pipe(
        Layer.provideMerge(HttpServer.layerTest),
        Layer.provide(Layer.succeed(Imports, imports)),
        Layer.provide(Layer.mock(Uploads, { _tag: "importer/Uploads" })),
        Layer.provide(Layer.mock(DeadLetters, { _tag: "importer/DeadLetters" })),
        Layer.provide(Layer.mock(OrphanCleanup, { name: "orphan-cleanup" })),
        Layer.provide(Importer.layer({ concurrency: 1, process: () => Effect.void })),
        Layer.provide(JobSourceMemory.layer()),
        Layer.provide(Layer.succeed(RequestLimits, { bodyBytes: 1, databaseTimeout: Duration.seconds(1) })),
        Layer.provide(Logger.replace(Logger.defaultLogger, log))
      ))
      const { address } = Context.get(services, Platform.HttpServer)
      const port = address._tag === "TcpAddress" ? address.port : 0
      const answer = yield* Effect.promise(() => fetch(`http://127.0.0.1:${port}/imports`))
      const body = yield* Effect.promise(() => answer.json())
      assert.deepStrictEqual([answer.status, body], [500, {
        _tag: "InternalServerError",
        message: "the request failed with an unexpected error, which is in the log of the service"
      }])
      assert.match(logged.join("\n"), /a request failed with a defect.*secret/s)
    }).pipe(Effect.scoped))
})

describe("an invalid value in the environment", () => {
  const table = [
    ["PORT", "abc", /PORT.*integer from 0 to 65535.*"abc"/],
    ["PORT", "65536", /PORT.*integer from 0 to 65535.*"65536"/],
    ["PORT", "-1", /PORT.*"-1"/],
    ["PORT", "80.5", /PORT.*"80.5"/],
    ["PORT", "", /PORT.*""/],
    ["HOST", "a b", /HOST.*host name or an address.*"a b"/],
    ["WORKERS", "0", /WORKERS.*integer from 1 to 64.*"0"/],
    ["WORKERS", "many", /WORKERS.*integer from 1 to 64.*"many"/],
    ["DATABASE_URL", "localhost", /DATABASE_URL.*no scheme.*expected postgres:/],
    ["DATABASE_URL", "mysql://u:secret@h/db", /DATABASE_URL.*mysql.*expected postgres:/]
  ] as const
  for (const [name, value, expected] of table) {
    it.live(`${name}=${JSON.stringify(value)} is one line with what was expected`, () =>
      Effect.gen(function*() {
        const environment = new Map([["PORT", "0"], [name, value]])
        const exit = yield* Layer.build(App).pipe(
          Effect.withConfigProvider(ConfigProvider.fromMap(environment)),
          Effect.scoped,
          Effect.exit
        )
        if (Exit.isSuccess(exit)) return assert.fail("it started")
        const line = causeMessage(exit.cause)
        assert.match(line, expected)
        assert.notMatch(line, /secret|\n/)
      }))
  }
})
