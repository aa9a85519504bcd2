import { HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Http2 from "node:http2"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { arriving } from "../../fixtures/http/arriving.js"
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
})
