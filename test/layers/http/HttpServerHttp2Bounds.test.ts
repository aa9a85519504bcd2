import { HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Queue, Stream } from "effect"
import * as Net from "node:net"
import * as Shutdown from "../../../src/core/Shutdown.js"
import { connectHttp2 } from "../../fixtures/http/http2Client.js"
import { echo, servingHttp2 } from "../../fixtures/http/http2Serving.js"
import { gist } from "../../fixtures/http/serving.js"

const bytes = (text: string) => new TextEncoder().encode(text)

/** An app that says which path has arrived. */
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

/** `GET /` without a client of the protocol: its preface, empty settings, and the head of a stream that asks for no more. */
const getByHand = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  Buffer.from("000000040000000000", "hex"),
  Buffer.from("000006010500000001828684410178", "hex")
])

describe("HttpServer over HTTP/2, at its bounds", () => {
  it.scopedLive("handlers that do not end: are interrupted at `drainTimeout` and awaited; their clients get 503 with `Retry-After`", () =>
    Effect.gen(function*() {
      const journal: Array<string> = []
      const { app, arrived } = yield* arriving((url) =>
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => journal.push(`${url} interrupted`)))
      )
      const server = yield* servingHttp2(app, { drainTimeout: "150 millis" })
      const client = yield* connectHttp2(server.port)
      const requests = yield* Effect.forEach(["/1", "/2"], (path) => client.request(path))
      yield* arrived(2)
      const end = yield* server.stop
      const all = yield* Effect.forEach(requests, ({ answer }) => answer)
      yield* client.closed
      assert.deepStrictEqual(all, ["503 retry-after", "503 retry-after"])
      assert.deepStrictEqual(gist(yield* end), { outcome: "Interrupted", finished: 0, cut: 2 })
      assert.deepStrictEqual(journal, ["/1 interrupted", "/2 interrupted"])
    }))

  it.scopedLive("a handler that ignores its interruption: is abandoned after `releaseTimeout`, and its stream reset", () =>
    Effect.gen(function*() {
      const { app, arrived } = yield* arriving(() => Effect.uninterruptible(Effect.never))
      const server = yield* servingHttp2(app, { drainTimeout: "50 millis", releaseTimeout: "100 millis" })
      const client = yield* connectHttp2(server.port)
      const deaf = yield* client.request("/deaf")
      yield* arrived()
      const end = yield* server.stop
      assert.strictEqual(yield* deaf.answer, "CANCEL")
      yield* client.closed
      assert.deepStrictEqual(gist(yield* end), { outcome: "Abandoned", finished: 0, cut: 1 })
    }))

  it.scopedLive("an event stream: ends by itself if it listens, else at `streamTimeout`; slow answers go on", () =>
    Effect.gen(function*() {
      const go = yield* Deferred.make<void>()
      const { app, arrived } = yield* arriving((url) =>
        Effect.sync(() => {
          const endless = Stream.concat(Stream.make(bytes("data: 1\n\n")), Stream.never)
          const contentType = "text/event-stream"
          if (url === "/deaf") return HttpServerResponse.stream(endless, { contentType })
          const told = Stream.make(bytes(url === "/told" ? "data: bye\n\n" : "end"))
          const after = url === "/told" ? Shutdown.draining : Deferred.await(go)
          return HttpServerResponse.stream(
            Stream.concat(Stream.interruptWhen(endless, after), told),
            url === "/told" ? { contentType } : {}
          )
        })
      )
      const server = yield* servingHttp2(app, { streamTimeout: "600 millis", idleLinger: "20 millis" })
      const client = yield* connectHttp2(server.port)
      const requests = yield* Effect.forEach(["/told", "/deaf", "/slow"], (path) => client.request(path))
      yield* arrived(3)
      yield* Effect.forEach(requests, (request) => request.until(/data: 1/))
      const end = yield* server.stop
      yield* requests[1]!.answer
      yield* Deferred.succeed(go, void 0)
      const all = yield* Effect.forEach(requests, ({ answer }) => answer)
      assert.deepStrictEqual(all, ["200 data: 1\n\ndata: bye\n\n", "200 data: 1\n\n", "200 data: 1\n\nend"])
      yield* client.closed
      assert.deepStrictEqual(gist(yield* end), { outcome: "Interrupted", finished: 2, cut: 1 })
    }))

  it.scopedLive("an upload that stands still: is answered with 408 at `stallTimeout`; the rest of its session goes on", () =>
    Effect.gen(function*() {
      const slow = yield* echo
      const { app, arrived } = yield* arriving((url) =>
        url === "/slow" ?
          slow.app :
          Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
            Effect.map(Effect.orDie(request.text), HttpServerResponse.text))
      )
      const server = yield* servingHttp2(app, { stallTimeout: "150 millis", idleLinger: "20 millis" })
      const client = yield* connectHttp2(server.port)
      const half = yield* client.request("/half", { method: "POST", half: "ha" })
      const other = yield* client.request("/slow")
      yield* arrived(2)
      const end = yield* server.stop
      assert.strictEqual(yield* half.answer, "408")
      yield* slow.go
      assert.strictEqual(yield* other.answer, "200 /slow")
      yield* client.closed
      assert.deepStrictEqual(gist(yield* end), { outcome: "Interrupted", finished: 1, cut: 1 })
    }))

  it.scopedLive("a stream that its client resets: has its handler interrupted and awaited", () =>
    Effect.gen(function*() {
      const journal: Array<string> = []
      const { app, arrived } = yield* arriving((url) =>
        Effect.gen(function*() {
          yield* Effect.addFinalizer(() => Effect.delay(Effect.sync(() => journal.push(`${url} finalized`)), 100))
          // More than the client takes before it reads: whoever ends this waits.
          return url === "/big" ? HttpServerResponse.uint8Array(new Uint8Array(2_000_000)) : yield* Effect.never
        })
      )
      const server = yield* servingHttp2(app, { idleLinger: "20 millis" })
      const client = yield* connectHttp2(server.port)
      yield* client.hold
      const big = yield* client.request("/big")
      yield* arrived()
      yield* client.received(60_000)
      const hung = yield* client.request("/hung")
      yield* arrived()
      yield* Effect.sync(() => [big, hung].forEach(({ stream }) => stream.close(8)))
      yield* client.release
      const end = yield* server.stop
      assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 2, cut: 0 })
      assert.deepStrictEqual(journal.sort(), ["/big finalized", "/hung finalized"])
    }))

  it.scopedLive("a connection that never began to speak: lingers for `idleLinger`, then is closed, whether its client closes its end or not", () =>
    Effect.gen(function*() {
      const { app } = yield* echo
      const server = yield* servingHttp2(app, { idleLinger: "20 millis", stallTimeout: "50 millis" })
      const socket = yield* halfOpen(server.port)
      const end = yield* server.stop
      assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 0, cut: 0 })
      assert.strictEqual(socket.writable, true)
    }))

  it.scopedLive("a session whose client does not close its end after the GOAWAY: is closed at `stallTimeout`", () =>
    Effect.gen(function*() {
      const { app } = yield* echo
      const server = yield* servingHttp2(app, { idleLinger: "20 millis", stallTimeout: "50 millis" })
      const socket = yield* halfOpen(server.port)
      yield* Effect.async<void>((resume) => {
        let heard = ""
        socket.on("data", (chunk: Buffer) => {
          heard += chunk.toString("latin1")
          // The answer is its path; its end may be a frame of its own.
          if (/\/(\0\0\0\0\x01\0\0\0\x01)?$/.test(heard)) resume(Effect.void)
        })
        socket.write(getByHand)
      })
      const { cut, outcome } = gist(yield* (yield* server.stop))
      assert.deepStrictEqual({ outcome, cut }, { outcome: "Drained", cut: 0 })
      assert.strictEqual(socket.writable, true)
    }))
})
