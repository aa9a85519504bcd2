import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, TestClock } from "effect"
import { createServer, type ServerResponse } from "node:http"
import * as Http2 from "node:http2"
import type { Socket } from "node:net"
import { connect, get, responses } from "../../fixtures/http/client.js"
import { startDrained } from "../../fixtures/http/drainedServer.js"
import { foreignApps, type Responder } from "../../fixtures/http/foreignApps.js"
import { breakAndDisconnect } from "../../fixtures/http/rawHttp2.js"

for (const [name, app] of Object.entries(foreignApps)) {
  describe(`HttpServer.drain of ${name}`, () => {
    it.scopedLive("requests in flight get their response with close, new connections are refused", () =>
      Effect.gen(function*() {
        const server = yield* startDrained(app)
        const [idle, slow] = [yield* connect(server.port), yield* connect(server.port)]
        yield* idle.send(get("/idle"))
        yield* idle.until(/\/idle/)
        yield* slow.send(get("/slow"))
        yield* server.arrived
        const drained = yield* server.beginDrain
        assert.isTrue(yield* (yield* connect(server.port)).refused)
        assert.deepStrictEqual(responses(yield* idle.closed), ["200 keep-alive /idle"])
        yield* server.respond
        assert.deepStrictEqual(responses(yield* slow.closed), ["200 close /slow"])
        assert.deepStrictEqual(yield* drained, { outcome: "Drained", finished: 1, cut: 0 })
      }))

    it.scopedLive("in lame duck responses say close, and pipelined ones only the last", () =>
      Effect.gen(function*() {
        const server = yield* startDrained(app)
        const client = yield* connect(server.port)
        yield* server.lameDuck
        yield* client.send(get("/slow") + get("/2"))
        yield* server.arrived
        yield* server.respond
        assert.deepStrictEqual(responses(yield* client.closed), ["200 keep-alive /slow", "200 close /2"])
        assert.deepStrictEqual(yield* yield* server.beginDrain, { outcome: "Drained", finished: 0, cut: 0 })
      }))

    it.scopedLive("a request that does not end gets a 503 after drainTimeout, and counts as cut", () =>
      Effect.gen(function*() {
        const server = yield* startDrained(app, { drainTimeout: "50 millis" })
        const client = yield* connect(server.port)
        yield* client.send(get("/slow"))
        yield* server.arrived
        const drained = yield* server.beginDrain
        assert.deepStrictEqual(responses(yield* client.closed), ["503 close"])
        assert.deepStrictEqual(yield* drained, { outcome: "Interrupted", finished: 0, cut: 1 })
        yield* server.respond
      }))

    it.scopedLive("an event stream ends cleanly at once; any other stream is reset after streamTimeout", () =>
      Effect.gen(function*() {
        const server = yield* startDrained(app, { streamTimeout: "100 millis" })
        const [events, rows] = [yield* connect(server.port), yield* connect(server.port)]
        yield* events.send(get("/events"))
        yield* events.until(/tick/)
        yield* rows.send(get("/rows"))
        yield* rows.until(/\{\}/)
        const drained = yield* server.beginDrain
        assert.match(yield* events.closed, /tick\n\n\r\n0\r\n\r\n$/)
        assert.notMatch(yield* rows.closed, /\r\n0\r\n\r\n$/)
        assert.strictEqual(rows.errorCode(), "ECONNRESET")
        assert.deepStrictEqual(yield* drained, { outcome: "Interrupted", finished: 1, cut: 1 })
      }))

    it.scopedLive("an event stream that begins in the drain ends cleanly at once; any other is reset after streamTimeout", () =>
      Effect.gen(function*() {
        const server = yield* startDrained(app, { idleLinger: "5 seconds", streamTimeout: "300 millis" })
        const [events, rows] = [yield* connect(server.port), yield* connect(server.port)]
        for (const client of [events, rows]) {
          yield* client.send(get("/first"))
          yield* client.until(/\/first/)
        }
        const drained = yield* server.beginDrain
        yield* rows.send(get("/rows"))
        yield* rows.until(/\{\}/)
        yield* events.send(get("/events"))
        assert.match(yield* events.closed, /connection: close\r\n[^]*\r\n0\r\n\r\n$/i)
        assert.notMatch(yield* rows.closed, /\r\n0\r\n\r\n$/)
        assert.strictEqual(rows.errorCode(), "ECONNRESET")
        assert.deepStrictEqual(yield* drained, { outcome: "Interrupted", finished: 1, cut: 1 })
      }))
  })
}

describe("HttpServer.drain of a response whose head is sent in the drain", () => {
  const respondLater = (listener: (response: ServerResponse) => void) => ({ slow }: Responder) => {
    const server = createServer((_, response) => void slow().then(() => listener(response)))
    return { server, listen: () => void server.listen(0, "127.0.0.1") }
  }

  const receive = (listener: (response: ServerResponse) => void) =>
    Effect.gen(function*() {
      const server = yield* startDrained(respondLater(listener), { streamTimeout: "15 seconds" })
      const client = yield* connect(server.port)
      yield* client.send(get("/"))
      yield* server.arrived
      const drained = yield* server.beginDrain
      yield* server.respond
      return { received: yield* client.closed, report: yield* drained }
    })

  it.scopedLive("ends an event stream after what it has written", () =>
    Effect.gen(function*() {
      const { received, report } = yield* receive((response) => {
        response.writeHead(200, { "content-type": "text/event-stream" })
        queueMicrotask(() => response.write("data: first\n\n"))
      })
      assert.match(received, /data: first\n\n\r\n0\r\n\r\n$/)
      assert.deepStrictEqual(report, { outcome: "Drained", finished: 1, cut: 0 })
    }))

  it.scopedLive("leaves alone one that is complete, whatever its type", () =>
    Effect.gen(function*() {
      const { received, report } = yield* receive((response) => {
        response.setHeader("content-type", "text/event-stream")
        response.write("data: first\n\n")
        response.end("data: last\n\n")
      })
      assert.match(received, /data: last\n\n\r\n0\r\n\r\n$/)
      assert.deepStrictEqual(report, { outcome: "Drained", finished: 1, cut: 0 })
    }))
})

describe("HttpServer.drain of pipelined requests", () => {
  it.scopedLive("cuts a stream that has not had its turn, whose listener goes on writing", () =>
    Effect.gen(function*() {
      const writing = yield* Effect.makeLatch()
      const server = yield* startDrained(({ slow }) => {
        const server = createServer((request, response) => {
          if (request.url === "/slow") return void slow().then(() => response.end("/slow"))
          const timer = setInterval(() => {
            response.write("row")
            writing.unsafeOpen()
          }, 1)
          response.on("close", () => clearInterval(timer))
        })
        return { server, listen: () => void server.listen(0, "127.0.0.1") }
      }, { streamTimeout: 0, drainTimeout: "300 millis" })
      const client = yield* connect(server.port)
      yield* client.send(get("/slow") + get("/rows"))
      yield* server.arrived
      yield* writing.await
      const drained = yield* server.beginDrain
      yield* client.closed
      const { cut, outcome } = yield* drained
      assert.deepStrictEqual({ outcome, cut }, { outcome: "Interrupted", cut: 2 })
      yield* server.respond
    }))
})

describe("HttpServer.drain over HTTP/2", () => {
  it.scopedLive("streams in flight finish; one that does not end gets a 503", () =>
    Effect.gen(function*() {
      const server = yield* startDrained(({ slow }) => {
        const server = Http2.createServer((request, response) => {
          if (request.url === "/slow") void slow().then(() => response.end("/slow"))
        })
        return { server, listen: () => void server.listen(0, "127.0.0.1") }
      }, { drainTimeout: "300 millis" })
      const session = yield* Effect.acquireRelease(
        Effect.sync(() => Http2.connect(`http://127.0.0.1:${server.port}`)),
        (session) => Effect.sync(() => session.destroy())
      )
      const status = (path: string) =>
        Effect.async<number | undefined>((resume) => {
          session.request({ ":path": path }).on("response", (headers) => resume(Effect.succeed(headers[":status"])))
        })
      const slow = yield* Effect.fork(status("/slow"))
      const stuck = yield* Effect.fork(status("/stuck"))
      yield* server.arrived
      const drained = yield* server.beginDrain
      yield* server.respond
      assert.deepStrictEqual([yield* Fiber.join(slow), yield* Fiber.join(stuck)], [200, 503])
      assert.deepStrictEqual(yield* drained, { outcome: "Interrupted", finished: 1, cut: 1 })
    }))

  it.scoped("a connection whose client breaks the protocol and disconnects is closed within 5 seconds", () =>
    Effect.gen(function*() {
      const closed = yield* Deferred.make<void>()
      const { arrived, port } = yield* startDrained(({ slow }) => {
        const server = Http2.createServer(() => void slow())
        server.on(
          "connection",
          (socket: Socket) => socket.once("close", () => Deferred.unsafeDone(closed, Effect.void))
        )
        return { server, listen: () => server.listen(0, "127.0.0.1") }
      })
      yield* breakAndDisconnect(port, arrived)
      yield* TestClock.adjust("5 seconds")
      yield* Deferred.await(closed)
    }))
})
