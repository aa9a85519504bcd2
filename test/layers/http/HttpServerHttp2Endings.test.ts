import { HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Stream, TestClock } from "effect"
import { Readable } from "node:stream"
import * as Shutdown from "../../../src/core/Shutdown.js"
import { arriving } from "../../fixtures/http/arriving.js"
import { connectHttp2 } from "../../fixtures/http/http2Client.js"
import { breakAndDisconnect, breakProtocol, halfOpen, preface, rawGet } from "../../fixtures/http/rawHttp2.js"
import { echo, echoBody, serveHttp2, summarize } from "../../fixtures/http/serving.js"

const bytes = (text: string) => new TextEncoder().encode(text)

describe("HttpServer over HTTP/2, when handlers or clients do not end", () => {
  it.scopedLive("handlers that do not end: are interrupted after `drainTimeout` and awaited; their clients get a 503 with `Retry-After`", () =>
    Effect.gen(function*() {
      const journal: Array<string> = []
      const { app, arrived } = yield* arriving((url) =>
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => journal.push(`${url} interrupted`)))
      )
      const server = yield* serveHttp2(app, { drainTimeout: "150 millis" })
      const client = yield* connectHttp2(server.port)
      const requests = yield* Effect.forEach(["/1", "/2"], (path) => client.request(path))
      yield* arrived(2)
      const drained = yield* server.beginDrain
      const received = yield* Effect.forEach(requests, ({ response }) => response)
      yield* client.closed
      assert.deepStrictEqual(received, ["503 retry-after", "503 retry-after"])
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Interrupted", finished: 0, cut: 2 })
      assert.deepStrictEqual(journal, ["/1 interrupted", "/2 interrupted"])
    }))

  it.scopedLive("a handler that ignores its interruption: is abandoned after `releaseTimeout`, and its stream is reset", () =>
    Effect.gen(function*() {
      const { app, arrived } = yield* arriving(() => Effect.uninterruptible(Effect.never))
      const server = yield* serveHttp2(app, { drainTimeout: "50 millis", releaseTimeout: "100 millis" })
      const client = yield* connectHttp2(server.port)
      const ignoring = yield* client.request("/ignoring")
      yield* arrived()
      const drained = yield* server.beginDrain
      assert.strictEqual(yield* ignoring.response, "CANCEL")
      yield* client.closed
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Abandoned", finished: 0, cut: 1 })
    }))

  it.scopedLive("an event stream: ends cleanly at once, or by itself if its handler waits for `Shutdown.draining`; other slow responses continue", () =>
    Effect.gen(function*() {
      const proceed = yield* Deferred.make<void>()
      const { app, arrived } = yield* arriving((url) =>
        Effect.sync(() => {
          const endless = Stream.concat(Stream.make(bytes("data: 1\n\n")), Stream.never)
          const contentType = "text/event-stream"
          if (url === "/unchanged") return HttpServerResponse.stream(endless, { contentType })
          if (url === "/ignoring") {
            const ignoring = Effect.zipRight(Shutdown.draining, Effect.never)
            return HttpServerResponse.stream(Stream.interruptWhen(endless, ignoring), { contentType })
          }
          const last = Stream.make(bytes(url === "/draining" ? "data: bye\n\n" : "end"))
          const after = url === "/draining" ? Shutdown.draining : Deferred.await(proceed)
          return HttpServerResponse.stream(
            Stream.concat(Stream.interruptWhen(endless, after), last),
            url === "/draining" ? { contentType } : { contentLength: 12 }
          )
        })
      )
      const server = yield* serveHttp2(app, { streamTimeout: "600 millis", idleLinger: "20 millis" })
      const client = yield* connectHttp2(server.port)
      const paths = ["/draining", "/unchanged", "/ignoring", "/slow"]
      const requests = yield* Effect.forEach(paths, (path) => client.request(path))
      yield* arrived(4)
      yield* Effect.forEach(requests, (request) => request.until(/data: 1/))
      const drained = yield* server.beginDrain
      yield* requests[2]!.response
      yield* Deferred.succeed(proceed, void 0)
      const received = yield* Effect.forEach(requests, ({ response }) => response)
      assert.deepStrictEqual(received, [
        "200 data: 1\n\ndata: bye\n\n",
        "200 data: 1\n\n",
        "200 data: 1\n\n",
        "200 data: 1\n\nend"
      ])
      yield* client.closed
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Interrupted", finished: 3, cut: 1 })
    }))

  it.scopedLive("a half-sent response that is cut, or whose stream fails: is reset (`INTERNAL_ERROR`); other streams of its connection continue", () =>
    Effect.gen(function*() {
      const fail = yield* Deferred.make<never, string>()
      const slow = yield* echo
      const { app, arrived } = yield* arriving((url) => {
        const rest = url.startsWith("/failing") ? Stream.fromEffect(Deferred.await(fail)) : Stream.never
        const rows = Stream.concat(Stream.make(bytes("row")), rest)
        switch (url) {
          case "/endless":
          case "/failing":
            return Effect.succeed(HttpServerResponse.stream(rows))
          case "/failing/readable":
            return Effect.sync(() => HttpServerResponse.raw(Readable.from(Stream.toAsyncIterable(rows))))
          case "/sized":
            return Effect.succeed(HttpServerResponse.stream(rows, { contentLength: 12 }))
        }
        return slow.app
      })
      const server = yield* serveHttp2(app, {
        streamTimeout: "200 millis",
        drainTimeout: "500 millis",
        idleLinger: "20 millis"
      })
      const client = yield* connectHttp2(server.port)
      const paths = ["/endless", "/failing", "/failing/readable", "/sized", "/slow"]
      const requests = yield* Effect.forEach(paths, (path) => client.request(path))
      yield* arrived(5)
      yield* Effect.forEach(requests.slice(0, 4), (request) => request.until(/row/))
      const drained = yield* server.beginDrain
      yield* Deferred.fail(fail, "no more rows")
      yield* Effect.forEach(requests.slice(0, 3), ({ response }) => response)
      yield* slow.respond
      assert.deepStrictEqual(yield* Effect.forEach(requests, ({ response }) => response), [
        "200 row INTERNAL_ERROR",
        "200 row INTERNAL_ERROR",
        "200 row INTERNAL_ERROR",
        "200 row INTERNAL_ERROR",
        "200 /slow"
      ])
      yield* client.closed
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Interrupted", finished: 1, cut: 4 })
    }))

  it.scopedLive("an upload that stalls: gets a 408 after `stallTimeout`; other streams of its connection continue", () =>
    Effect.gen(function*() {
      const slow = yield* echo
      const { app, arrived } = yield* arriving((url) => url === "/slow" ? slow.app : echoBody)
      const server = yield* serveHttp2(app, { stallTimeout: "150 millis", idleLinger: "20 millis" })
      const client = yield* connectHttp2(server.port)
      const half = yield* client.request("/half", { method: "POST", partialBody: "ha" })
      const other = yield* client.request("/slow")
      yield* arrived(2)
      const drained = yield* server.beginDrain
      assert.strictEqual(yield* half.response, "408")
      yield* slow.respond
      assert.strictEqual(yield* other.response, "200 /slow")
      yield* client.closed
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Interrupted", finished: 1, cut: 1 })
    }))

  it.scopedLive("a stream that its client resets: has its handler interrupted and awaited", () =>
    Effect.gen(function*() {
      const journal: Array<string> = []
      const { app, arrived } = yield* arriving((url) =>
        Effect.gen(function*() {
          yield* Effect.addFinalizer(() => Effect.delay(Effect.sync(() => journal.push(`${url} finalized`)), 100))
          // More than fits into the buffers of a client that does not read: `end` waits.
          return url === "/big" ? HttpServerResponse.uint8Array(new Uint8Array(2_000_000)) : yield* Effect.never
        })
      )
      const server = yield* serveHttp2(app, { idleLinger: "20 millis" })
      const client = yield* connectHttp2(server.port)
      yield* client.delay
      const big = yield* client.request("/big")
      yield* arrived()
      yield* client.received(60_000)
      const hung = yield* client.request("/hung")
      yield* arrived()
      yield* Effect.sync(() => [big, hung].forEach(({ stream }) => stream.close(8)))
      yield* client.deliver
      const drained = yield* server.beginDrain
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 2, cut: 0 })
      assert.deepStrictEqual(journal.sort(), ["/big finalized", "/hung finalized"])
    }))

  it.scopedLive("a connection without a request: is closed after `idleLinger`, whether or not the client closes its end", () =>
    Effect.gen(function*() {
      const { app } = yield* echo
      const server = yield* serveHttp2(app, { idleLinger: "20 millis", stallTimeout: "50 millis" })
      const socket = yield* halfOpen(server.port)
      const drained = yield* server.beginDrain
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 0, cut: 0 })
      assert.strictEqual(socket.writable, true)
    }))

  it.scopedLive("a connection whose client breaks the protocol: is closed after `stallTimeout`, or after `drainTimeout` if a request is in flight", () =>
    Effect.gen(function*() {
      const proceed = yield* Deferred.make<void>()
      const handlers = [Effect.never, Effect.as(Deferred.await(proceed), HttpServerResponse.text("answered"))]
      const { app, arrived } = yield* arriving(() => Effect.suspend(() => handlers.pop()!))
      const server = yield* serveHttp2(app, {
        idleLinger: "20 millis",
        stallTimeout: "50 millis",
        drainTimeout: "200 millis",
        releaseTimeout: "2 seconds"
      })
      const sockets = yield* Effect.replicateEffect(halfOpen(server.port), 3)
      sockets.forEach((socket, index) => socket.write(index === 0 ? rawGet.subarray(0, preface) : rawGet))
      yield* arrived(2)
      yield* Effect.forEach(sockets, breakProtocol)
      const drained = yield* server.beginDrain
      yield* Deferred.succeed(proceed, void 0)
      // From Node 22 on it has closed the connection itself, before the drain.
      const isClosed = Number(process.versions.node.split(".")[0]) >= 22
      assert.deepStrictEqual(summarize(yield* drained), {
        outcome: isClosed ? "Drained" : "Interrupted",
        finished: 0,
        cut: isClosed ? 0 : 2
      })
    }))

  it.scoped("a connection whose client breaks the protocol and disconnects: is closed within 5 seconds; its handlers are interrupted", () =>
    Effect.gen(function*() {
      const interrupted = yield* Deferred.make<void>()
      const { app, arrived } = yield* arriving(() =>
        Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, void 0))
      )
      const server = yield* serveHttp2(app)
      yield* breakAndDisconnect(server.port, arrived())
      yield* TestClock.adjust("5 seconds")
      yield* Deferred.await(interrupted)
      assert.deepStrictEqual(summarize(yield* (yield* server.beginDrain)), {
        outcome: "Drained",
        finished: 0,
        cut: 0
      })
    }))

  it.scopedLive("a connection whose client has broken the protocol and disconnected: is closed when the drain begins; its handlers are interrupted and awaited", () =>
    Effect.gen(function*() {
      const journal: Array<string> = []
      const { app, arrived } = yield* arriving(() =>
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => journal.push("interrupted")))
      )
      const server = yield* serveHttp2(app, { idleLinger: "15 seconds", stallTimeout: "15 seconds" })
      yield* breakAndDisconnect(server.port, arrived())
      const { cut, outcome } = summarize(yield* (yield* server.beginDrain))
      assert.deepStrictEqual({ outcome, cut, journal }, { outcome: "Drained", cut: 0, journal: ["interrupted"] })
    }))

  it.scopedLive("a connection whose client does not close its end after GOAWAY: is closed after `stallTimeout`", () =>
    Effect.gen(function*() {
      const { app } = yield* echo
      const server = yield* serveHttp2(app, { idleLinger: "20 millis", stallTimeout: "50 millis" })
      const socket = yield* halfOpen(server.port)
      yield* Effect.async<void>((resume) => {
        let text = ""
        socket.on("data", (chunk: Buffer) => {
          text += chunk.toString("latin1")
          // The response is the path. The end of the stream may be a frame of its own.
          if (/\/(\0\0\0\0\x01\0\0\0\x01)?$/.test(text)) resume(Effect.void)
        })
        socket.write(rawGet)
      })
      const { cut, outcome } = summarize(yield* (yield* server.beginDrain))
      assert.deepStrictEqual({ outcome, cut }, { outcome: "Drained", cut: 0 })
      assert.strictEqual(socket.writable, true)
    }))
})
