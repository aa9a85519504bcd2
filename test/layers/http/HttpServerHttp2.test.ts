import { type HttpServer as Platform, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Http2 from "node:http2"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { answers, connect, get } from "../../fixtures/http/client.js"
import { connectHttp2 } from "../../fixtures/http/http2Client.js"
import { both, echo, servingHttp2 } from "../../fixtures/http/http2Serving.js"
import { free, gist } from "../../fixtures/http/serving.js"

/** The last stream that GOAWAY names when it names none. */
const all = 2 ** 31 - 1

describe("HttpServer over HTTP/2, draining", () => {
  it.scopedLive("streams in flight: finish, and their session ends behind them; an idle one is told after `idleLinger`", () =>
    Effect.gen(function*() {
      const { app, arrived, go } = yield* echo
      const server = yield* servingHttp2(app, { idleLinger: "20 millis" })
      const client = yield* connectHttp2(server.port)
      const idle = yield* connectHttp2(server.port)
      const first = yield* client.request("/slow/1")
      const second = yield* client.request("/slow/2")
      yield* arrived(2)
      const end = yield* server.stop
      yield* client.told
      yield* go
      assert.deepStrictEqual([yield* first.answer, yield* second.answer], ["200 /slow/1", "200 /slow/2"])
      yield* client.closed
      yield* idle.closed
      assert.deepStrictEqual([client.goaways(), idle.goaways()], [[all, 3], [0]])
      assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 2, cut: 0 })
    }))

  it.scopedLive("a request while its session lingers: is answered, and its session told with the answer", () =>
    Effect.gen(function*() {
      const { app } = yield* echo
      const server = yield* servingHttp2(app, { idleLinger: "15 seconds" })
      const client = yield* connectHttp2(server.port)
      yield* (yield* client.request("/first")).answer
      const end = yield* server.stop
      assert.deepStrictEqual(client.goaways(), [])
      assert.strictEqual(yield* (yield* client.request("/second")).answer, "200 /second")
      yield* client.closed
      assert.deepStrictEqual(client.goaways(), [all, 3])
      assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
    }))

  it.scopedLive("a session with several requests: is told by a GOAWAY with the answer that leaves nothing else open on it", () =>
    Effect.gen(function*() {
      const { app, arrived, go } = yield* echo
      const server = yield* servingHttp2(app, { idleLinger: "15 seconds" })
      const client = yield* connectHttp2(server.port)
      const slow = yield* client.request("/slow")
      yield* arrived()
      const end = yield* server.stop
      assert.strictEqual(yield* (yield* client.request("/second")).answer, "200 /second")
      assert.strictEqual(yield* (yield* client.request("/third")).answer, "200 /third")
      assert.deepStrictEqual(client.goaways(), [])
      yield* go
      assert.strictEqual(yield* slow.answer, "200 /slow")
      yield* client.closed
      assert.deepStrictEqual(client.goaways(), [all, 5])
      assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 3, cut: 0 })
    }))

  it.scopedLive("a stream that crosses the GOAWAY on the wire: is refused (`REFUSED_STREAM`) and never handled: the protocol says that it may be sent again", () =>
    Effect.gen(function*() {
      const { app, arrived, go } = yield* echo
      const server = yield* servingHttp2(app, { idleLinger: 0 })
      const client = yield* connectHttp2(server.port)
      yield* client.hold
      const slow = yield* client.request("/slow")
      yield* arrived()
      const end = yield* server.stop
      yield* client.told
      const late = yield* client.request("/late")
      yield* late.sent
      yield* go
      yield* client.release
      assert.deepStrictEqual([yield* slow.answer, yield* late.answer], ["200 /slow", "REFUSED_STREAM"])
      yield* client.closed
      assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
    }))

  it.scopedLive("a session in the lame duck, old or new: is told with its next answer", () =>
    Effect.gen(function*() {
      const { app } = yield* echo
      const server = yield* servingHttp2(app, { idleLinger: "15 seconds" })
      const before = yield* connectHttp2(server.port)
      yield* server.to("LameDuck")
      const after = yield* connectHttp2(server.port)
      assert.deepStrictEqual([before.goaways(), after.goaways()], [[], []])
      assert.strictEqual(yield* (yield* before.request("/before")).answer, "200 /before")
      assert.strictEqual(yield* (yield* after.request("/after")).answer, "200 /after")
      yield* before.closed
      yield* after.closed
      assert.deepStrictEqual([before.goaways(), after.goaways()], [[all, 1], [all, 1]])
    }))

  it.scopedLive("HTTP/1.1 on the same server, over TLS: is drained as such; a silent connection holds neither", () =>
    Effect.gen(function*() {
      const { app, arrived, go } = yield* echo
      const server = yield* servingHttp2(app, { idleLinger: "50 millis" }, both)
      const silent = yield* connect(server.port)
      const http1 = yield* connect({ port: server.port, tls: true })
      const http2 = yield* connectHttp2(server.port, true)
      const slow = yield* http2.request("/slow/2")
      yield* http1.send(get("/slow/1"))
      yield* arrived(2)
      const end = yield* server.stop
      yield* silent.closed
      yield* http2.told
      yield* go
      assert.deepStrictEqual(answers(yield* http1.closed), ["200 close /slow/1"])
      assert.strictEqual(yield* slow.answer, "200 /slow/2")
      yield* http2.closed
      assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 2, cut: 0 })
    }))

  it.scopedLive("a request before there is an app: is held, or refused with 503 and `Retry-After`; probes are answered", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make(() => Http2.createServer(), { ...free, maxHeld: 1 })
      const client = yield* connectHttp2((server.address as Platform.TcpAddress).port)
      const held = yield* client.request("/held", { method: "POST", half: "he" })
      const refused = yield* client.request("/refused")
      const probe = yield* client.request("/livez")
      assert.deepStrictEqual([yield* refused.answer, yield* probe.answer], [
        "503 retry-after",
        "200 {\"state\":\"Starting\"}"
      ])
      yield* server.serve(
        Effect.flatMap(
          HttpServerRequest.HttpServerRequest,
          (request) => Effect.map(Effect.orDie(request.text), HttpServerResponse.text)
        )
      )
      held.stream.end("ld")
      assert.strictEqual(yield* held.answer, "200 held")
    }))
})
