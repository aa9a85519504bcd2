import { HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Queue, Stream } from "effect"
import * as Http2 from "node:http2"
import * as Net from "node:net"
import { Readable } from "node:stream"
import * as Shutdown from "../../../src/core/Shutdown.js"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { connect, get, responses } from "../../fixtures/http/client.js"
import { connectHttp2, type Http2Client } from "../../fixtures/http/http2Client.js"
import {
  anyPort,
  createServerOfBoth,
  echo,
  echoBody,
  portOf,
  serve,
  serveHttp2,
  summarize
} from "../../fixtures/http/serving.js"

/** The stream id of a GOAWAY that refuses no stream. */
const allStreams = 2 ** 31 - 1

const bytes = (text: string) => new TextEncoder().encode(text)

/** An app whose `arrived(n)` completes when the next n requests have reached the handler. */
const arriving = <E, R>(app: (url: string) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  Effect.gen(function*() {
    const arrivals = yield* Queue.unbounded<string>()
    return {
      arrived: (n = 1) => Queue.takeN(arrivals, n),
      app: Effect.flatMap(
        HttpServerRequest.HttpServerRequest,
        ({ url }) => Effect.zipRight(arrivals.offer(url), app(url))
      )
    }
  })

/** A connection whose client never closes its end. */
const halfOpen = (port: number) =>
  Effect.acquireRelease(
    Effect.async<Net.Socket>((resume) => {
      const socket = Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true }, () => resume(Effect.succeed(socket)))
      socket.on("error", () => {}).resume()
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** A head that does not end, and a frame that may not come before its end. */
const broken = Buffer.from("00000101000000000382" + "000008060000000000" + "0000000000000000", "hex")

/** The bytes of a `GET /`: the preface, empty settings, and the head of a stream without a body. */
const preface = 33
const rawGet = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  Buffer.from("000000040000000000", "hex"),
  Buffer.from("000006010500000001828684410178", "hex")
])

describe("HttpServer over HTTP/2", () => {
  it.scopedLive("streams in flight: finish, and the connection closes after them; an idle connection gets GOAWAY after `idleLinger`", () =>
    Effect.gen(function*() {
      const { app, arrived, respond } = yield* echo
      const server = yield* serveHttp2(app, { idleLinger: "20 millis" })
      const client = yield* connectHttp2(server.port)
      const idle = yield* connectHttp2(server.port)
      const first = yield* client.request("/slow/1")
      const second = yield* client.request("/slow/2")
      yield* arrived(2)
      const drained = yield* server.beginDrain
      yield* client.goawayReceived
      yield* respond
      assert.deepStrictEqual([yield* first.response, yield* second.response], ["200 /slow/1", "200 /slow/2"])
      yield* client.closed
      yield* idle.closed
      assert.deepStrictEqual([client.goaways(), idle.goaways()], [[allStreams, 3], [0]])
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 2, cut: 0 })
    }))

  it.scopedLive("a request during `idleLinger`: gets its response, and GOAWAY with it", () =>
    Effect.gen(function*() {
      const { app } = yield* echo
      const server = yield* serveHttp2(app, { idleLinger: "15 seconds" })
      const client = yield* connectHttp2(server.port)
      yield* (yield* client.request("/first")).response
      const drained = yield* server.beginDrain
      assert.deepStrictEqual(client.goaways(), [])
      assert.strictEqual(yield* (yield* client.request("/second")).response, "200 /second")
      yield* client.closed
      assert.deepStrictEqual(client.goaways(), [allStreams, 3])
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
    }))

  it.scopedLive("a connection with several requests: gets GOAWAY with the response that leaves no other stream open", () =>
    Effect.gen(function*() {
      const { app, arrived, respond } = yield* echo
      const server = yield* serveHttp2(app, { idleLinger: "15 seconds" })
      const client = yield* connectHttp2(server.port)
      const slow = yield* client.request("/slow")
      yield* arrived()
      const drained = yield* server.beginDrain
      assert.strictEqual(yield* (yield* client.request("/second")).response, "200 /second")
      assert.strictEqual(yield* (yield* client.request("/third")).response, "200 /third")
      assert.deepStrictEqual(client.goaways(), [])
      yield* respond
      assert.strictEqual(yield* slow.response, "200 /slow")
      yield* client.closed
      assert.deepStrictEqual(client.goaways(), [allStreams, 5])
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 3, cut: 0 })
    }))

  it.scopedLive("a stream that crosses GOAWAY on the wire: is refused (`REFUSED_STREAM`) and never handled, so the client may send it again", () =>
    Effect.gen(function*() {
      const { app, arrived, respond } = yield* echo
      const server = yield* serveHttp2(app, { idleLinger: 0 })
      const client = yield* connectHttp2(server.port)
      yield* client.delay
      const slow = yield* client.request("/slow")
      yield* arrived()
      const drained = yield* server.beginDrain
      yield* client.goawayReceived
      const late = yield* client.request("/late")
      yield* late.sent
      yield* respond
      yield* client.deliver
      assert.deepStrictEqual([yield* slow.response, yield* late.response], ["200 /slow", "REFUSED_STREAM"])
      yield* client.closed
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
    }))

  it.scopedLive("a connection in lame duck, old or new: gets GOAWAY with its next response", () =>
    Effect.gen(function*() {
      const { app } = yield* echo
      const server = yield* serveHttp2(app, { idleLinger: "15 seconds" })
      const before = yield* connectHttp2(server.port)
      yield* server.transition("LameDuck")
      const after = yield* connectHttp2(server.port)
      assert.deepStrictEqual([before.goaways(), after.goaways()], [[], []])
      assert.strictEqual(yield* (yield* before.request("/before")).response, "200 /before")
      assert.strictEqual(yield* (yield* after.request("/after")).response, "200 /after")
      yield* before.closed
      yield* after.closed
      assert.deepStrictEqual([before.goaways(), after.goaways()], [[allStreams, 1], [allStreams, 1]])
    }))

  it.scopedLive("a probe: gets the response of the app while the service runs, and the state of the service where the app has no route, and from lame duck on", () =>
    Effect.gen(function*() {
      const { app, arrived } = yield* arriving((url) =>
        Effect.succeed(
          url === "/readyz"
            ? HttpServerResponse.text("no database", { status: 503 })
            : HttpServerResponse.empty({ status: 404 })
        )
      )
      const server = yield* serveHttp2(app)
      const probe = (client: Http2Client) =>
        Effect.forEach(["/livez", "/readyz"], (path) => Effect.flatMap(client.request(path), (_) => _.response))
      const client = yield* connectHttp2(server.port)
      const running = ["200 {\"state\":\"Running\"}", "503 no database"]
      assert.deepStrictEqual([yield* probe(client), yield* probe(client)], [running, running])
      assert.deepStrictEqual(Array.from(yield* arrived(3)), ["/livez", "/readyz", "/readyz"])
      yield* server.transition("LameDuck")
      const [livez, readyz] = [yield* connectHttp2(server.port), yield* connectHttp2(server.port)]
      assert.strictEqual(yield* (yield* livez.request("/livez")).response, "200 {\"state\":\"LameDuck\"}")
      assert.strictEqual(yield* (yield* readyz.request("/readyz")).response, "503 {\"state\":\"LameDuck\"}")
    }))

  it.scopedLive("`readyWhileDraining`: keeps `readyz` at 200 in lame duck and in the drain", () =>
    Effect.gen(function*() {
      const { app, arrived, respond } = yield* echo
      const server = yield* serveHttp2(app, { readyWhileDraining: true, idleLinger: "15 seconds" })
      const client = yield* connectHttp2(server.port)
      const readyz = Effect.flatMap(client.request("/readyz"), ({ response }) => response)
      const slow = yield* client.request("/slow")
      yield* arrived()
      yield* server.transition("LameDuck")
      assert.strictEqual(yield* readyz, "200 {\"state\":\"LameDuck\"}")
      const drained = yield* server.beginDrain
      assert.strictEqual(yield* readyz, "200 {\"state\":\"Draining\"}")
      yield* respond
      assert.strictEqual(yield* slow.response, "200 /slow")
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
    }))

  it.scopedLive("HTTP/1.1 on the same server, over TLS: is drained as HTTP/1.1; a connection without a request delays neither", () =>
    Effect.gen(function*() {
      const { app, arrived, respond } = yield* echo
      const server = yield* serve(app, { idleLinger: "50 millis" }, createServerOfBoth)
      const unused = yield* connect(server.port)
      const http1 = yield* connect({ port: server.port, tls: true })
      const http2 = yield* connectHttp2(server.port, true)
      const slow = yield* http2.request("/slow/2")
      yield* http1.send(get("/slow/1"))
      yield* arrived(2)
      const drained = yield* server.beginDrain
      yield* unused.closed
      yield* http2.goawayReceived
      yield* respond
      assert.deepStrictEqual(responses(yield* http1.closed), ["200 close /slow/1"])
      assert.strictEqual(yield* slow.response, "200 /slow/2")
      yield* http2.closed
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 2, cut: 0 })
    }))

  it.scopedLive("a request before an app is served: is held, or gets a 503 with `Retry-After`; probes get their response", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make(() => Http2.createServer(), { ...anyPort, maxHeld: 1 })
      const client = yield* connectHttp2(portOf(server))
      const held = yield* client.request("/held", { method: "POST", partialBody: "he" })
      const refused = yield* client.request("/refused")
      const probe = yield* client.request("/livez")
      assert.deepStrictEqual([yield* refused.response, yield* probe.response], [
        "503 retry-after",
        "200 {\"state\":\"Starting\"}"
      ])
      yield* server.serve(echoBody)
      held.stream.end("ld")
      assert.strictEqual(yield* held.response, "200 held")
    }))

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
      yield* Effect.forEach(sockets, (socket) =>
        Effect.async<void>((resume) => {
          // What it answers last is GOAWAY.
          socket.on("data", (chunk: Buffer) => chunk.includes("CONTINUATION") && resume(Effect.void))
          socket.write(broken)
        }))
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
