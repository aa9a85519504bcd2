import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { long } from "../../kit/long.js"
import { eventually } from "../../kit/until.js"
import { chunk, connect, count, describeService, ended, head, hear, many, post, request } from "./world.js"

// The long form also runs over PostgreSQL: the statements are the same, and the layers have tests over both.
describeService("an upload", { overPostgres: long }, (world) => {
  const refused = [
    ["without a content type", 415, "UnsupportedContentType", "a\n1\n", { type: "" }],
    ["of another content type", 415, "UnsupportedContentType", "a\n1\n", { type: "application/json" }],
    ["of a form", 415, "UnsupportedContentType", "a\n1\n", { type: "multipart/form-data; boundary=x" }],
    ["in another charset", 415, "UnsupportedContentType", "a\n1\n", { type: "text/csv; charset=latin1" }],
    ["that is compressed", 415, "UnsupportedContentType", "a\n1\n", { headers: { "content-encoding": "gzip" } }],
    ["that is empty", 422, "InvalidFile", "", {}],
    ["of blank lines", 422, "InvalidFile", "\n\n", { type: "application/x-ndjson" }],
    ["without a header", 422, "InvalidFile", "\n1,2\n3,4\n", {}],
    ["with half a header", 422, "InvalidFile", "a,,c\n1,2,3\n", {}],
    ["of UTF-16", 422, "InvalidFile", Buffer.from("\ufeffa\nb\n", "utf16le"), {}],
    ["without a column whose type is declared", 422, "InvalidFile", "a\n1\n", { path: "/imports?columns=b:date" }],
    ["with an unknown type", 422, "InvalidColumns", "a\n1\n", { path: "/imports?columns=a:money" }],
    ["with a name that is too long", 400, "HttpApiDecodeError", "a\n1\n", {
      path: `/imports?name=${"x".repeat(300)}`
    }],
    ["with an empty name", 400, "HttpApiDecodeError", "a\n1\n", { path: "/imports?name=" }],
    ["with a name that cannot be stored", 400, "HttpApiDecodeError", "a\n1\n", { path: "/imports?name=%00" }],
    ["with a key that is too long", 400, "HttpApiDecodeError", "a\n1\n", {
      headers: { "idempotency-key": "k".repeat(300) }
    }]
  ] as const
  for (const [what, status, tag, body, options] of refused) {
    it.live(`${what} is refused with ${status} ${tag}, and leaves nothing`, () =>
      Effect.gen(function*() {
        const before = yield* count(world(), "imports")
        const answer = yield* post(world(), body, options)
        assert.deepStrictEqual([answer.status, answer.body._tag], [status, tag])
        assert.isString(answer.body.message)
        assert.strictEqual(yield* count(world(), "imports"), before)
      }))
  }

  it.live("with invalid parameters is refused in words that say which, and why", () =>
    Effect.gen(function*() {
      const key = { "idempotency-key": "" }
      const messages = yield* Effect.forEach(
        [{ path: "/imports?name=" }, { path: `/imports?name=%00`, headers: key }, { headers: key }],
        (options) => Effect.map(post(world(), "a\n1\n", options), ({ body }) => body.message)
      )
      const emptyKey = "idempotency-key: Expected a non empty string, actual \"\""
      assert.deepStrictEqual(messages, [
        "name: Expected a string at least 1 character(s) long, actual \"\"",
        emptyKey,
        emptyKey
      ])
    }))

  it.live("that is too large is refused, with or without Content-Length, and the connection is reused", () =>
    Effect.gen(function*() {
      const socket = yield* connect(world())
      const declared = hear(socket, /BodyTooLarge/)
      socket.write(
        head({ "Transfer-Encoding": "identity", "Content-Length": "1000001" }).replace(
          "Transfer-Encoding: identity\r\n",
          ""
        )
      )
      assert.match(yield* declared, /^HTTP\/1.1 413 /)
      socket.write("x".repeat(1_000_001))

      const chunked = hear(socket, /BodyTooLarge/)
      socket.write(head() + chunk("a\n"))
      // The body goes on after the response: the server reads and drops it.
      for (let i = 0; i < 11; i++) socket.write(chunk(`${"x".repeat(99_999)}\n`))
      assert.match(yield* chunked, /^HTTP\/1.1 413 /)
      for (let i = 0; i < 5; i++) socket.write(chunk(`${"x".repeat(99_999)}\n`))
      socket.write(chunk("").replace("\r\n\r\n", "\r\n\r\n"))

      const next = hear(socket, /Running/)
      socket.write("GET /status HTTP/1.1\r\nHost: test\r\n\r\n")
      assert.match(yield* next, /^HTTP\/1.1 200 /)
      assert.strictEqual(yield* count(world(), "imports", "status = 'Uploading'"), 0)
    }).pipe(Effect.scoped))

  it.live("that is aborted leaves nothing behind", () =>
    Effect.gen(function*() {
      const socket = yield* connect(world())
      const before = yield* count(world(), "imports")
      socket.write(head() + chunk(many(60_000)))
      yield* eventually("a chunk is stored", count(world(), "import_chunks"), (n) => n > 0)
      const { body } = yield* request(world(), "/imports")
      assert.deepStrictEqual(
        body.imports.filter((found: any) => found.status === "Uploading").map((found: any) => found.rowsTotal),
        [null]
      )
      socket.destroy()
      // At once, before the cleanup of orphans.
      yield* Effect.timeout(
        eventually("the upload is removed", count(world(), "imports"), (n) => n === before),
        "10 seconds"
      )
      assert.strictEqual(yield* count(world(), "import_chunks"), 0)
      assert.strictEqual(yield* count(world(), "import_rows", "import_id NOT IN (SELECT id FROM imports)"), 0)
    }).pipe(Effect.scoped))

  it.live("whose process has died is deleted by any process", () =>
    Effect.gen(function*() {
      const id = "00000000-0000-4000-8000-000000000000"
      yield* world().sql`
      INSERT INTO imports (id, name, format, columns, status, idempotency_key, heartbeat_at)
      VALUES (${id}, 'dead', 'csv', '', 'Uploading', 'dead', now() - interval '1 minute')`
      yield* world().sql`INSERT INTO import_chunks VALUES (${id}, 0, '\\x61')`
      // An upload with its key need not wait for the cleanup.
      const { body, status } = yield* post(world(), "a\n1\n", { headers: { "idempotency-key": "dead" } })
      assert.deepStrictEqual([status, body.name], [202, "import.csv"])
      yield* ended(world(), body.id)
      yield* world().sql`
      INSERT INTO imports (id, name, format, columns, status, heartbeat_at)
      VALUES (${id}, 'dead', 'csv', '', 'Uploading', now() - interval '1 minute')`
      yield* eventually("the dead upload is removed", count(world(), "imports", "name = 'dead'"), (n) => n === 0)
    }))

  it.live("with a key is the same import for the same file, and an error for another file", () =>
    Effect.gen(function*() {
      const send = (body: string, path = "/imports?columns=a:number") =>
        post(world(), body, { path, headers: { "idempotency-key": "again" } })
      const first = yield* send("a\n1\n")
      const second = yield* send("a\n1\n")
      assert.deepStrictEqual([first.status, second.status], [202, 202])
      assert.strictEqual(second.body.id, first.body.id)
      assert.strictEqual(second.headers.get("location"), `/imports/${first.body.id}`)
      for (const other of [send("a\n2\n"), send("a\n1\n", "/imports")]) {
        const { body, status } = yield* other
        assert.deepStrictEqual([status, body._tag], [422, "IdempotencyKeyReused"])
      }
      yield* ended(world(), first.body.id)
      const third = yield* send("a\n1\n")
      assert.deepStrictEqual([third.body.id, third.body.status], [first.body.id, "Completed"])
    }))

  it.live("with the key of an upload in progress is refused; the key of a failed upload is free", () =>
    Effect.gen(function*() {
      const key = { "idempotency-key": "twice" }
      const socket = yield* connect(world())
      const answer = hear(socket, /\}$/)
      socket.write(head(key) + chunk("a\n1\n"))
      yield* eventually(
        "the first upload has begun",
        count(world(), "imports", "idempotency_key = 'twice'"),
        (n) => n === 1
      )
      const second = yield* post(world(), "a\n1\n", { headers: key })
      assert.deepStrictEqual([second.status, second.body._tag], [409, "UploadInProgress"])
      socket.write(chunk(""))
      assert.match(yield* answer, /^HTTP\/1.1 202 /)

      const empty = yield* post(world(), "", { headers: { "idempotency-key": "failed" } })
      assert.strictEqual(empty.status, 422)
      const whole = yield* post(world(), "a\n1\n", { headers: { "idempotency-key": "failed" } })
      assert.strictEqual(whole.status, 202)
      yield* ended(world(), whole.body.id)
    }).pipe(Effect.scoped))

  it.live("repeated ten times at once with one key is one import", () =>
    Effect.gen(function*() {
      const answers = yield* Effect.all(
        Array.from({ length: 10 }, () => post(world(), many(500), { headers: { "idempotency-key": "ten" } })),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        [...new Set(answers.map(({ body, status }) => status === 202 ? body.id : body._tag))].filter((_) =>
          _ !== "UploadInProgress"
        ).length,
        1
      )
      assert.strictEqual(yield* count(world(), "imports", "idempotency_key = 'ten'"), 1)
    }))
})
