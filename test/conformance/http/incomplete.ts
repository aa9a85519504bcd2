import { HttpServerResponse } from "@effect/platform"
import { assert } from "@effect/vitest"
import { Deferred, Effect, Stream } from "effect"
import { Readable } from "node:stream"
import { type Client, get } from "../../fixtures/http/client.js"
import { echo, summarize } from "../../fixtures/http/serving.js"
import { byPath, bytes, type ConnectionCase, type Server } from "./connectionCase.js"

/** A client that finds data and the reset at once sees only the end, so nothing is sent after the first row. */
const rows = Stream.concat(Stream.make(bytes("row\n")), Stream.never)

/** Without a length the end of this response is the end of its connection. */
const oldGet = (path: string) => get(path).replace("HTTP/1.1", "HTTP/1.0")

/** A connection that has received a part of a response. */
const halfSent = (server: Server, request: string) =>
  Effect.tap(
    server.connect,
    (client) => Effect.zipRight(client.send(request), client.until(/row/))
  )

/** The client sees that the response is incomplete. A Unix socket has no reset. */
const assertReset = (server: Server, client: Client) =>
  Effect.map(client.closed, (received) => {
    assert.match(received, /row/)
    assert.notMatch(received, /\r\n0\r\n\r\n$/)
    assert.strictEqual(client.errorCode(), server.address._tag === "UnixAddress" ? undefined : "ECONNRESET")
  })

/** Responses that are half sent when they are cut. */
export const incomplete: ReadonlyArray<ConnectionCase> = [
  {
    situation: "a stream without a declared length that does not end, of any other type than `text/event-stream`",
    behavior: "is cut after `streamTimeout`: its handler is interrupted, its connection reset",
    test: (serve) =>
      Effect.gen(function*() {
        const slow = yield* echo
        const journal: Array<string> = []
        const endless = Stream.ensuring(rows, Effect.sync(() => journal.push("closed")))
        const server = yield* serve(byPath({
          "/rows": Effect.succeed(HttpServerResponse.stream(endless, { contentType: "application/x-ndjson" })),
          "/readable": Effect.sync(() => HttpServerResponse.raw(Readable.from(Stream.toAsyncIterable(rows)))),
          "/slow": slow.app
        }))
        const other = yield* server.connect
        yield* other.send(get("/slow"))
        yield* slow.arrived()
        const clients = yield* Effect.forEach(
          [get("/rows"), oldGet("/rows"), get("/readable")],
          (request) => halfSent(server, request)
        )
        const drained = yield* server.beginDrain
        yield* Effect.forEach(clients, (client) => assertReset(server, client))
        yield* slow.respond
        assert.match(yield* other.closed, /\/slow$/)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Interrupted", finished: 1, cut: 3 })
        assert.deepStrictEqual(journal, ["closed", "closed"])
      })
  },
  {
    situation: "a stream of a declared length that does not end",
    behavior: "is awaited until `drainTimeout`; then its handler is interrupted, its connection reset",
    test: (serve) =>
      Effect.gen(function*() {
        const app = Effect.succeed(HttpServerResponse.stream(rows, { contentLength: 4_000_000 }))
        const server = yield* serve(app, { streamTimeout: 0, drainTimeout: "150 millis" })
        const client = yield* halfSent(server, get("/"))
        const report = yield* (yield* server.beginDrain)
        yield* assertReset(server, client)
        assert.deepStrictEqual(summarize(report), { outcome: "Interrupted", finished: 0, cut: 1 })
        assert.strictEqual(report.reason, "drain not done within 150ms")
      })
  },
  {
    situation: "a stream that fails after a part of it was sent",
    behavior: "is cut: its connection is reset",
    test: (serve) =>
      Effect.gen(function*() {
        const fail = yield* Deferred.make<never, string>()
        const failing = Stream.concat(Stream.make(bytes("row\n")), Stream.fromEffect(Deferred.await(fail)))
        const server = yield* serve(byPath({
          "/stream": Effect.succeed(HttpServerResponse.stream(failing)),
          "/sized": Effect.succeed(HttpServerResponse.stream(failing, { contentLength: 8 })),
          "/readable": Effect.sync(() => HttpServerResponse.raw(Readable.from(Stream.toAsyncIterable(failing))))
        }))
        const requests = [get("/stream"), oldGet("/stream"), get("/sized"), get("/readable"), oldGet("/readable")]
        const clients = yield* Effect.forEach(requests, (request) => halfSent(server, request))
        const drained = yield* server.beginDrain
        yield* Deferred.fail(fail, "no more rows")
        yield* Effect.forEach(clients, (client) => assertReset(server, client))
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Interrupted", finished: 0, cut: 5 })
      })
  },
  {
    situation: "a pipelined response that is cut before it is sent",
    behavior: "does not affect the responses before it; the connection closes after them",
    test: (serve) =>
      Effect.gen(function*() {
        const slow = yield* echo
        const streaming = yield* Effect.makeLatch()
        const cut = yield* Effect.makeLatch()
        const endless = rows.pipe(Stream.tap(() => streaming.open), Stream.ensuring(cut.open))
        const server = yield* serve(byPath({
          "/slow": slow.app,
          "/rows": Effect.succeed(HttpServerResponse.stream(endless))
        }))
        const client = yield* server.connect
        yield* client.send(get("/slow") + get("/rows"))
        yield* Effect.zipRight(slow.arrived(), streaming.await)
        const drained = yield* server.beginDrain
        yield* cut.await
        yield* slow.respond
        assert.match(yield* client.closed, /^HTTP\/1.1 200 OK[^]*\r\n\r\n\/slow$/)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Interrupted", finished: 1, cut: 1 })
      })
  }
]
