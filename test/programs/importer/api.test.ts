import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { long } from "../../kit/long.js"
import { eventually } from "../../kit/until.js"
import {
  chunk,
  connect,
  count,
  describeService,
  ended,
  head,
  hear,
  load,
  many,
  post,
  request,
  type World
} from "./world.js"

const rowsOf = (world: World, id: string, query = "") =>
  Effect.map(request(world, `/imports/${id}/rows${query}`), ({ body }) => body)

// The long form also runs over PostgreSQL: the statements are the same, and the layers have tests over both.
describeService("the importer", { overPostgres: long }, (world) => {
  describe("an import", () => {
    it.live("of a CSV file has its rows loaded, and its bad rows rejected with number and reason", () =>
      Effect.gen(function*() {
        const file =
          "\ufeffname,amount,day\r\n\"a,\n\"\"b\"\"\",1.50,2024-02-29\r\nc,x,2024-01-01\r\nd,2\r\ne,3,2024-01-02"
        const answer = yield* post(world(), file, { path: "/imports?name=f.csv&columns=amount:number,day:date" })
        assert.strictEqual(answer.status, 202)
        assert.strictEqual(answer.headers.get("location"), `/imports/${answer.body.id}`)
        const { completedAt, createdAt, id, ...rest } = yield* ended(world(), answer.body.id)
        assert.deepStrictEqual(rest, {
          name: "f.csv",
          status: "Completed",
          rowsTotal: 4,
          rowsLoaded: 2,
          rowsRejected: 2
        })
        assert.isTrue(new Date(completedAt) >= new Date(createdAt))
        assert.deepStrictEqual(yield* rowsOf(world(), id), {
          rows: [
            { rowNumber: 1, data: { name: "a,\n\"b\"", amount: 1.5, day: "2024-02-29" } },
            { rowNumber: 4, data: { name: "e", amount: 3, day: "2024-01-02" } }
          ],
          next: null
        })
        const rejects = yield* request(world(), `/imports/${id}/rejects`)
        assert.deepStrictEqual(rejects.body, {
          rows: [
            { rowNumber: 2, reason: "amount: expected a number, but found \"x\"", excerpt: "c,x,2024-01-01" },
            { rowNumber: 3, reason: "expected 3 fields as in the header, but found 2", excerpt: "d,2" }
          ],
          next: null
        })
        assert.strictEqual(yield* count(world(), "import_chunks"), 0)
      }))

    it.live("of an NDJSON file keeps every digit", () =>
      Effect.gen(function*() {
        const { id } = yield* load(
          world(),
          "{\"id\":12345678901234567890}\n{\"a\":\"\\u0000\"}\n{\"a\":[\"\\\\n\",null]}\n",
          {
            type: "application/x-ndjson; charset=utf-8"
          }
        )
        const raw = yield* Effect.promise(async () => (await fetch(`${world().url}/imports/${id}/rows`)).text())
        assert.strictEqual(
          raw.replaceAll(" ", ""),
          "{\"rows\":[{\"rowNumber\":1,\"data\":{\"id\":12345678901234567890}},{\"rowNumber\":3,\"data\":{\"a\":[\"\\\\n\",null]}}],\"next\":null}"
        )
      }))

    it.live("of many rows is read in pages, the last of which has no next", () =>
      Effect.gen(function*() {
        const found = yield* load(world(), many(2500))
        assert.deepStrictEqual([found.rowsTotal, found.rowsLoaded, found.rowsRejected], [2500, 2500, 0])
        const numbers: Array<number> = []
        for (let after: number | null = 0; after !== null;) {
          const page: any = yield* rowsOf(world(), found.id, `?after=${after}&limit=700`)
          numbers.push(...page.rows.map((row: any) => row.rowNumber))
          after = page.next
        }
        assert.deepStrictEqual(numbers, Array.from({ length: 2500 }, (_, i) => i + 1))
        assert.lengthOf((yield* rowsOf(world(), found.id)).rows, 100)
        assert.deepStrictEqual(yield* rowsOf(world(), found.id, "?after=2500"), { rows: [], next: null })
      }))

    it.live("of large rows is read in pages of bounded size", () =>
      Effect.gen(function*() {
        const file = `a\n${`${"x".repeat(160_000)}\n`.repeat(6)}`
        const { id, rowsLoaded } = yield* load(world(), file)
        assert.strictEqual(rowsLoaded, 6)
        yield* world()
          .sql`UPDATE import_rows SET data = jsonb_build_object('a', repeat('x', 1500000)) WHERE import_id = ${id}`
        const page = yield* rowsOf(world(), id)
        assert.deepStrictEqual([page.rows.length, page.next], [2, 2])
      }))

    it.live("without rows is completed at once", () =>
      Effect.gen(function*() {
        const found = yield* load(world(), "a,b\n")
        assert.deepStrictEqual([found.status, found.rowsTotal], ["Completed", 0])
      }))

    it.live("is shown in the list, newest first", () =>
      Effect.gen(function*() {
        const first = yield* load(world(), "a\nx\n", { path: "/imports?name=first" })
        const second = yield* load(world(), "a\nx\n")
        const { body } = yield* request(world(), "/imports")
        assert.deepStrictEqual(body.imports.slice(0, 2), [second, first])
        assert.strictEqual(second.name, "import.csv")
      }))
  })

  describe("a cancelled import", () => {
    const cancel = (id: string) => request(world(), `/imports/${id}`, { method: "DELETE" })

    it.live("that is uploading ends its upload, and frees its key", () =>
      Effect.gen(function*() {
        const socket = yield* connect(world())
        const answer = hear(socket, /UploadCancelled/)
        socket.write(head({ "idempotency-key": "gone" }) + chunk("a\n1\n"))
        yield* eventually("the upload has begun", count(world(), "imports", "status = 'Uploading'"), (n) => n === 1)
        const { body: { imports: [{ id }] } } = yield* request(world(), "/imports")
        const { body, status } = yield* cancel(id)
        assert.deepStrictEqual([status, body.status], [200, "Cancelled"])
        socket.write(chunk("2\n") + chunk(""))
        assert.match(yield* answer, /^HTTP\/1.1 409 /)
        assert.strictEqual((yield* request(world(), `/imports/${id}`)).body.status, "Cancelled")
        const again = yield* post(world(), "a\n1\n", { headers: { "idempotency-key": "gone" } })
        assert.strictEqual(again.status, 202)
        yield* ended(world(), again.body.id)
      }).pipe(Effect.scoped))

    it.live("that is queued is never loaded, one that is loading stops, and their counts match their rows", () =>
      Effect.gen(function*() {
        const uploads = yield* Effect.all(Array.from({ length: 4 }, () => post(world(), many(30_000))), {
          concurrency: 4
        })
        // Two workers: two imports are loading or about to be, two are queued.
        yield* eventually(
          "some rows are loaded",
          count(world(), "imports", "status = 'Loading' AND rows_loaded > 0"),
          (n) => n > 0
        )
        const cancelled = yield* Effect.forEach(uploads, ({ body }) => cancel(body.id))
        assert.deepStrictEqual(cancelled.map(({ body }) => body.status), Array.from({ length: 4 }, () => "Cancelled"))
        // Later imports are loaded, so the jobs of the cancelled ones have ended.
        yield* Effect.all([load(world(), "a\n1\n"), load(world(), "a\n1\n")], { concurrency: 2 })
        for (const { body } of cancelled) {
          const now = (yield* request(world(), `/imports/${body.id}`)).body
          assert.deepStrictEqual(now, body)
          assert.isBelow(now.rowsLoaded, 30_000)
          assert.strictEqual(yield* count(world(), "import_rows", `import_id = '${body.id}'`), now.rowsLoaded)
        }
        assert.strictEqual(yield* count(world(), "import_chunks"), 0)
        assert.strictEqual(yield* count(world(), "lastcall_jobs", "state <> 'done'"), 0)
      }))

    it.live("that has ended stays as it is", () =>
      Effect.gen(function*() {
        const { id } = yield* load(world(), "a\n1\n")
        const { body, status } = yield* cancel(id)
        assert.deepStrictEqual([status, body.status], [200, "Completed"])
        assert.strictEqual((yield* cancel("00000000-0000-4000-8000-00000000000f")).status, 404)
      }))
  })

  describe("any other request", () => {
    it.live("is answered in JSON with a stable _tag", () =>
      Effect.gen(function*() {
        const unknown = "/imports/00000000-0000-4000-8000-00000000000f"
        const { id } = yield* load(world(), "a\n1\n")
        const table = [
          ["/nope", 404, "RouteNotFound"],
          [unknown, 404, "ImportNotFound"],
          [`${unknown}/rows`, 404, "ImportNotFound"],
          [`${unknown}/rejects`, 404, "ImportNotFound"],
          [`${unknown}/events`, 404, "ImportNotFound"],
          ["/imports/no-id", 404, "ImportNotFound"],
          [`/imports/${id}/rows?limit=0`, 400, "HttpApiDecodeError"],
          [`/imports/${id}/rows?limit=1001`, 400, "HttpApiDecodeError"],
          [`/imports/${id}/rows?after=-1`, 400, "HttpApiDecodeError"],
          [`/imports/${id}/rows?after=x`, 400, "HttpApiDecodeError"],
          [`/imports/${id}/rows?after=1e99`, 400, "HttpApiDecodeError"]
        ] as const
        for (const [path, status, tag] of table) {
          const answer = yield* request(world(), path)
          assert.deepStrictEqual([path, answer.status, answer.body._tag], [path, status, tag])
        }
        const method = yield* request(world(), "/imports", { method: "PUT" })
        assert.deepStrictEqual([method.status, method.body._tag], [404, "RouteNotFound"])
      }))

    it.live("gets the page, the OpenAPI description, the documentation or the state of the service", () =>
      Effect.gen(function*() {
        assert.match(
          (yield* request(world(), "/")).body,
          /^<!doctype html>[^]*<title>Importer<[^]*<script type="module"/
        )
        assert.match((yield* request(world(), "/docs")).body, /<html/)
        const spec = (yield* request(world(), "/openapi.json")).body
        assert.includeMembers(Object.keys(spec.paths), [
          "/imports",
          "/imports/{id}",
          "/imports/{id}/events",
          "/columns",
          "/queues"
        ])
        assert.includeMembers(Object.keys(spec.paths["/imports"].post.requestBody.content), ["text/csv"])
        assert.deepStrictEqual((yield* request(world(), "/status")).body, { state: "Running" })
      }))

    it.live("is answered after a client disappeared in the middle of a response", () =>
      Effect.gen(function*() {
        const { body: { id } } = yield* post(world(), many(10_000))
        for (let i = 0; i < 5; i++) {
          const socket = yield* connect(world())
          socket.write(`GET /imports/${id}/events HTTP/1.1\r\nHost: test\r\n\r\n`)
          yield* hear(socket, /event: progress/)
          socket.destroy()
        }
        assert.strictEqual((yield* ended(world(), id)).rowsLoaded, 10_000)
      }).pipe(Effect.scoped))
  })
})
