import { HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { get, responses } from "../../fixtures/http/client.js"
import { echo, echoBody, summarize } from "../../fixtures/http/serving.js"
import { awaitServerRead, byPath, type ConnectionCase } from "./connectionCase.js"

const h2c = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"]

const webSocket = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
]

/** Requests with an `Upgrade` header that open no WebSocket. */
export const upgrades: ReadonlyArray<ConnectionCase> = [
  {
    situation: "a request for any other upgrade, such as `h2c` (`curl --http2`)",
    behavior: "is an ordinary request, before and in the drain",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, arrived, respond } = yield* echo
        const server = yield* serve(app, { streamTimeout: 0, idleLinger: "5 seconds" })
        const [before, during] = [yield* server.connect, yield* server.connect]
        yield* before.send(get("/slow/1", ...h2c))
        yield* during.send(get("/first", ...h2c))
        yield* during.until(/first$/)
        yield* awaitServerRead(server)
        yield* arrived()
        const drained = yield* server.beginDrain
        yield* during.send(get("/slow/2", ...h2c))
        yield* arrived()
        yield* respond
        assert.deepStrictEqual(responses(yield* before.closed), ["200 close /slow/1"])
        assert.deepStrictEqual(responses(yield* during.closed), ["200 keep-alive /first", "200 close /slow/2"])
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 2, cut: 0 })
      })
  },
  {
    situation: "a request for such an upgrade with a body, or behind a pipelined request",
    behavior: "is read completely, and answered in its turn; its connection stays open",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, arrived, respond } = yield* echo
        const described = Effect.map(HttpServerRequest.HttpServerRequest, ({ headers }) =>
          HttpServerResponse.text([headers["x-kept"], headers["connection"], headers["upgrade"] ?? "-"].join(" ")))
        const server = yield* serve(byPath({ "/slow": app, "/headers": described, "/body": echoBody }))
        const client = yield* server.connect
        const post = get("/body", "Content-Length: 10", ...h2c).replace("GET", "POST")
        yield* client.send(`${get("/slow")}${post}01234`)
        yield* arrived()
        yield* respond
        yield* client.until(/slow$/)
        yield* client.send(`56789${get("/slow")}`)
        yield* client.until(/0123456789[^]*slow$/)
        yield* client.send(get("/headers", "Connection: keep-alive, upgrade", "X-Kept: kept", "Upgrade: other"))
        yield* client.until(/kept keep-alive/)
        assert.deepStrictEqual(responses(client.received()).slice(0, 3), [
          "200 keep-alive /slow",
          "200 keep-alive 0123456789",
          "200 keep-alive /slow"
        ])
      })
  },
  {
    situation: "a request for a WebSocket whose handler opens none",
    behavior: "is awaited as an ordinary request; its connection closes after its response",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, arrived, respond } = yield* echo
        const server = yield* serve(app, { streamTimeout: 0 })
        const client = yield* server.connect
        yield* client.send(get("/slow", ...webSocket))
        yield* arrived()
        const drained = yield* server.beginDrain
        yield* Effect.sleep("50 millis")
        yield* respond
        assert.match(yield* client.closed, /^HTTP\/1.1 200 OK[^]*\/slow$/)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
      })
  }
]
