// What the page is made of: its files, and the part of the API that is there for it.
import { HttpApiBuilder } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { make } from "../../../src/core/Lifecycle.js"
import * as ShutdownReport from "../../../src/core/ShutdownReport.js"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { PageFolder, PageLive } from "../../../src/programs/importer/Page.js"
import { databaseFolder } from "../../kit/pglite.js"
import { temporaryFolder } from "../../kit/temporaryFolder.js"
import { eventually } from "../../kit/until.js"
import { chunk, connect, describeService, head, hear, load, openDatabase, post, request, start } from "./world.js"

describeService("the page", { overPostgres: false }, (world) => {
  it.live("is asked for each time, loads nothing from elsewhere, and is in no frame", () =>
    Effect.gen(function*() {
      const { body, headers } = yield* request(world(), "/")
      assert.deepStrictEqual(
        ["content-type", "cache-control", "x-content-type-options", "referrer-policy"].map((name) => headers.get(name)),
        ["text/html; charset=utf-8", "no-cache", "nosniff", "no-referrer"]
      )
      assert.strictEqual(
        headers.get("content-security-policy"),
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
          "form-action 'none'; frame-ancestors 'none'"
      )
      const links = [...body.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, link]) => link)
      assert.isTrue(links.every((link) => link.startsWith("/")), links.join())
      assert.notMatch(body, /<style|style=|<script(?![^>]*src=)/)
      const again = yield* request(world(), "/", { headers: { "if-none-match": headers.get("etag")! } })
      assert.deepStrictEqual([again.status, again.body], [304, ""])
    }))

  it.live("has assets that are named by their content, and are kept", () =>
    Effect.gen(function*() {
      const { body } = yield* request(world(), "/")
      const assets = [...body.matchAll(/"(\/assets\/[^"]*)"/g)].map(([, path]) => path)
      const found = yield* Effect.forEach(assets, (path) =>
        Effect.map(request(world(), path), ({ headers, status }) => [
          /[^.]*$/.exec(path)![0],
          status,
          headers.get("content-type"),
          headers.get("cache-control")
        ]))
      const kept = "public, max-age=31536000, immutable"
      assert.deepStrictEqual(found.sort(), [
        ["css", 200, "text/css; charset=utf-8", kept],
        ["js", 200, "text/javascript; charset=utf-8", kept],
        ["svg", 200, "image/svg+xml", kept]
      ])
    }))

  it.live("has the schedules, pauses them, and asks for a run", () =>
    Effect.gen(function*() {
      const list = request(world(), "/schedules")
      const [schedule, ...others] = (yield* list).body.schedules
      assert.deepStrictEqual([schedule.name, schedule.kind, others], ["orphan-cleanup", "Task", []])
      const operate = (name: string, operation: string) =>
        request(world(), `/schedules/${name}/${operation}`, { method: "POST" })
      const paused = yield* operate("orphan-cleanup", "pause")
      assert.include(["Paused", "Running"], paused.body.state)
      assert.strictEqual((yield* operate("orphan-cleanup", "run")).status, 202)
      const { lastRun } = yield* eventually(
        "a run has ended",
        Effect.map(list, ({ body }) => body.schedules[0]),
        ({ lastRun, state }) => lastRun !== null && state === "Paused"
      )
      assert.strictEqual(lastRun.state, "Ended")
      assert.strictEqual((yield* operate("orphan-cleanup", "resume")).body.state, "Waiting")
      const unknown = yield* operate("unknown", "run")
      assert.deepStrictEqual([unknown.status, unknown.body._tag], [404, "ScheduleNotFound"])
    }))

  it.live("has the types of the columns guessed from a sample", () =>
    Effect.gen(function*() {
      const { body, status } = yield* post(world(), "a,b\n1,x\n2,y", { path: "/columns?truncated=true" })
      assert.deepStrictEqual([status, body], [200, {
        columns: [
          { name: "a", type: "integer", optional: false, declarable: true },
          { name: "b", type: "string", optional: false, declarable: true }
        ],
        rows: [["1", "x"]]
      }])
      const refused = yield* post(world(), "1,2\n", { path: "/columns" })
      assert.deepStrictEqual([refused.status, refused.body._tag], [422, "InvalidFile"])
      const large = yield* post(world(), "a".repeat(256 * 1024 + 1), { path: "/columns" })
      assert.deepStrictEqual([large.status, large.body._tag], [413, "BodyTooLarge"])
    }))

  it.live("downloads all rejects as a CSV file", () =>
    Effect.gen(function*() {
      const rows = Array.from({ length: 2500 }, (_, i) => i % 2 === 0 ? String(i) : `"x ""${i}"""`)
      const { id } = yield* load(world(), `n\n${rows.join("\n")}\n`, { path: "/imports?columns=n:integer" })
      const { body, headers } = yield* request(world(), `/imports/${id}/rejects.csv`)
      assert.strictEqual(headers.get("content-type"), "text/csv; charset=utf-8")
      assert.strictEqual(headers.get("content-disposition"), `attachment; filename="rejects-${id}.csv"`)
      const lines = body.split("\r\n")
      assert.deepStrictEqual([lines.length, lines[0], lines[1], lines.at(-2), lines.at(-1)], [
        1252,
        "row,reason,excerpt",
        "2,\"n: expected an integer, but found \"\"x \"\"1\"\"\"\"\",\"\"\"x \"\"\"\"1\"\"\"\"\"\"\"",
        "2500,\"n: expected an integer, but found \"\"x \"\"2499\"\"\"\"\",\"\"\"x \"\"\"\"2499\"\"\"\"\"\"\"",
        ""
      ])
      const unknown = yield* request(world(), "/imports/00000000-0000-4000-8000-00000000000f/rejects.csv")
      assert.deepStrictEqual([unknown.status, unknown.body._tag], [404, "ImportNotFound"])
    }))
})

it.scopedLive("a page that is not built is a 404 that says what to do", () =>
  Effect.gen(function*() {
    yield* Layer.build(
      HttpApiBuilder.Router.serve().pipe(
        Layer.provide(PageLive),
        Layer.provide(Layer.succeed(PageFolder, temporaryFolder())),
        Layer.provideMerge(HttpServer.layerTest)
      )
    ).pipe(Effect.flatMap((services) =>
      Effect.provide(
        Effect.gen(function*() {
          const { address } = yield* HttpServer.HttpServer
          const port = address._tag === "TcpAddress" ? address.port : 0
          const response = yield* Effect.promise(() => fetch(`http://127.0.0.1:${port}/`))
          const body = (yield* Effect.promise(() => response.json())) as {
            readonly _tag: string
            readonly message: string
          }
          assert.deepStrictEqual([response.status, body._tag], [404, "PageNotBuilt"])
          assert.include(body.message, "npm run build")
        }),
        services
      )
    ))
  }))

describe("the events of the service", () => {
  it.scopedLive("follow a drain until the last other request has ended, and nothing is cut", () =>
    Effect.gen(function*() {
      const lifecycle = yield* make({ gracePeriod: "25 seconds" })
      const database = yield* openDatabase(`pglite:${yield* Effect.promise(databaseFolder)}`)
      const world = yield* start(database, { shutdown: lifecycle.shutdown })
      yield* lifecycle.transition("Running")

      const watcher = yield* connect(world)
      const all = yield* Effect.fork(hear(watcher, /\r\n0\r\n\r\n$/))
      const running = hear(watcher, /"state":"Running"[^\n]*"http","stage":"open","inFlight":0/)
      watcher.write("GET /service/events HTTP/1.1\r\nHost: test\r\n\r\n")
      yield* running

      const client = yield* connect(world)
      const uploading = hear(watcher, /"http","stage":"open","inFlight":1/)
      client.write(head() + chunk("a\n1\n"))
      yield* uploading

      const draining = hear(watcher, /"state":"Draining"[^\n]*"http","stage":"draining","inFlight":1/)
      yield* lifecycle.shutdown.begin({ reason: "test" })
      yield* lifecycle.transition("Draining")
      const stopped = yield* Effect.fork(world.stop)
      yield* draining
      assert.isTrue(all.unsafePoll() === null)

      const answer = hear(client, /202 Accepted/)
      client.write(`${chunk("2\n")}0\r\n\r\n`)
      yield* answer
      const text = yield* Fiber.join(all)
      const last = JSON.parse([...text.matchAll(/data: (.*)/g)].at(-1)![1]!)
      const http = last.resources.find((_: { readonly name: string }) => _.name === "http")
      assert.deepInclude(http, { stage: "draining", inFlight: 0, cut: 0, released: null })
      assert.isAbove(last.remaining, 20_000)
      yield* Fiber.join(stopped)
      const { resources } = yield* lifecycle.snapshot
      const { cut, outcome } = yield* resources.find(({ name }) => name === "http")!.report
      assert.deepStrictEqual([outcome, cut], ["Drained", 0])
    }))

  it.scopedLive("end when nothing else is in flight", () =>
    Effect.gen(function*() {
      const lifecycle = yield* make({ gracePeriod: "25 seconds" })
      const database = yield* openDatabase(`pglite:${yield* Effect.promise(databaseFolder)}`)
      const world = yield* start(database, { shutdown: lifecycle.shutdown })
      yield* lifecycle.transition("Running")
      const watchers = yield* Effect.replicateEffect(connect(world), 2)
      const ended = yield* Effect.fork(Effect.forEach(watchers, (_) => hear(_, /\r\n0\r\n\r\n$/), { concurrency: 2 }))
      for (const watcher of watchers) {
        const begun = hear(watcher, /event: service/)
        watcher.write("GET /service/events HTTP/1.1\r\nHost: test\r\n\r\n")
        yield* begun
      }
      yield* lifecycle.shutdown.begin({ reason: "test" })
      yield* lifecycle.transition("Draining")
      yield* Effect.fork(world.stop)
      for (const text of yield* Effect.timeout(Fiber.join(ended), "3 seconds")) {
        assert.match(text, /"state":"Draining"[^]*\r\n0\r\n\r\n$/)
      }
    }))
})

describe("the last shutdown", () => {
  const lastShutdown = (file: string | undefined) =>
    Effect.gen(function*() {
      const { shutdown } = yield* make(file === undefined ? {} : { reportFile: file })
      const database = yield* openDatabase(`pglite:${yield* Effect.promise(databaseFolder)}`)
      const world = yield* start(database, { shutdown })
      return (yield* request(world, "/service/last-shutdown")).body
    })

  it.scopedLive("is the report that was in the file at the start", () =>
    Effect.gen(function*() {
      const file = join(temporaryFolder(), "report.json")
      const report = ShutdownReport.make({
        cause: "SIGINT",
        from: "Running",
        signals: ["SIGINT"],
        expedited: false,
        gracePeriod: Duration.seconds(25),
        preStopDelay: Duration.zero,
        elapsed: Duration.millis(12),
        drains: []
      })
      writeFileSync(file, ShutdownReport.toJson(report))
      const { kept, last } = yield* lastShutdown(file)
      assert.deepStrictEqual([kept, last.report], [true, JSON.parse(ShutdownReport.toJson(report))])
      assert.isBelow(Math.abs(Date.parse(last.endedAt) - Date.now()), 60_000)
    }))

  it.scopedLive("is none before the first, where no report is kept, and when the file holds something else", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* lastShutdown(undefined), { kept: false, last: null })
      const file = join(temporaryFolder(), "report.json")
      assert.deepStrictEqual(yield* lastShutdown(file), { kept: true, last: null })
      writeFileSync(file, "{}")
      assert.deepStrictEqual(yield* lastShutdown(file), { kept: true, last: null })
    }))
})
