import { HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { createServer } from "node:http"
import { get, responses } from "../../fixtures/http/client.js"
import { echo, echoBody, summarize } from "../../fixtures/http/serving.js"
import { chat, text } from "../../fixtures/http/webSocket.js"
import { awaitServerRead, byPath, bytes, type ConnectionCase } from "./connectionCase.js"

const h2c = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"]

/** The length of a body. */
const lengthOf = (response: string): number => response.split("\r\n\r\n")[1]?.length ?? 0

const webSocket = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
]

/** Whether Node has the choice which requests are upgrades: it drops what follows one that it has not upgraded. */
const closesAfterBody = "shouldUpgradeCallback" in createServer()

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
    situation: "a request for such an upgrade between pipelined requests",
    behavior: "is answered in its turn, without the headers of the upgrade; its connection stays open",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, arrived, respond } = yield* echo
        const described = Effect.map(HttpServerRequest.HttpServerRequest, ({ headers }) =>
          HttpServerResponse.text([headers["x-kept"], headers["connection"], headers["upgrade"] ?? "-"].join(" ")))
        const server = yield* serve(byPath({ "/slow": app, "/headers": described, "/first": app }))
        const client = yield* server.connect
        const upgrade = get("/headers", "Connection: keep-alive, upgrade", "X-Kept: kept", "Upgrade: other")
        yield* client.send(`${get("/slow")}${upgrade}${get("/first")}`)
        yield* arrived()
        yield* respond
        yield* client.until(/first$/)
        yield* client.send(upgrade)
        yield* client.until(/first[^]*kept keep-alive -$/)
        assert.deepStrictEqual(responses(client.received()), [
          "200 keep-alive /slow",
          "200 keep-alive kept keep-alive -",
          "200 keep-alive /first",
          "200 keep-alive kept keep-alive -"
        ])
      })
  },
  {
    situation: "a request for such an upgrade with a body",
    behavior: "is read completely, and answered in its turn; its connection closes then, from Node 22.21 and 24.9 on",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, arrived, respond } = yield* echo
        const server = yield* serve(byPath({ "/slow": app, "/first": app, "/body": echoBody }))
        for (const parts of [["0123456789"], ["01234", "56789"]]) {
          const client = yield* server.connect
          const post = get("/body", "Content-Length: 10", ...h2c).replace("GET", "POST")
          yield* client.send(`${get("/first")}${post}${parts[0]}${parts.length === 1 ? get("/slow") : ""}`)
          if (parts.length > 1) {
            yield* awaitServerRead(server)
            yield* client.send(`${parts[1]}${get("/slow")}`)
          }
          if (closesAfterBody) {
            const received = responses(yield* client.closed)
            assert.deepStrictEqual(received, ["200 keep-alive /first", "200 close 0123456789"])
          } else {
            yield* arrived()
            yield* respond
            yield* client.until(/slow$/)
            assert.deepStrictEqual(responses(client.received()), [
              "200 keep-alive /first",
              "200 keep-alive 0123456789",
              "200 keep-alive /slow"
            ])
          }
        }
      })
  },
  {
    situation: "what follows such a request with a body, from Node 22.21 and 24.9 on",
    behavior: "is not read as a request, wherever its first packet ends",
    test: (serve) =>
      Effect.gen(function*() {
        if (!closesAfterBody) return
        const { app, arrived, respond } = yield* echo
        const server = yield* serve(byPath({ "/slow": app, "/first": app }))
        const client = yield* server.connect
        const post = get("/slow", "Content-Length: 1", ...h2c).replace("GET", "POST")
        const next = get("/first", `Content-Length: ${get("/slow").length}`).replace("GET", "POST")
        yield* client.send(`${post}0${next}`)
        yield* arrived()
        yield* client.send(get("/slow"))
        yield* client.send("not a request\r\n\r\n")
        yield* awaitServerRead(server)
        const drained = yield* server.beginDrain
        yield* respond
        assert.deepStrictEqual(responses(yield* client.closed), ["200 close /slow"])
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    situation: "a request for a WebSocket after pipelined requests",
    behavior: "is opened after their responses",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, arrived, respond } = yield* echo
        const opened = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => request.upgrade).pipe(
          Effect.flatMap((socket) => socket.run(() => {})),
          Effect.as(HttpServerResponse.empty()),
          Effect.orDie
        )
        const server = yield* serve(byPath({ "/slow": app, "/first": app, "/socket": opened }))
        const requests = `${get("/slow")}${get("/first")}`
        const clients = [yield* server.connect, yield* server.connect]
        yield* clients[0]!.send(`${requests}${get("/socket", ...webSocket)}`)
        yield* clients[1]!.send(`${requests}${get("/socket", ...webSocket, "Content-Length: 5")}a`)
        yield* arrived(2)
        yield* awaitServerRead(server)
        assert.deepStrictEqual(clients.map((client) => client.received()), ["", ""])
        yield* respond
        for (const client of clients) {
          assert.match(yield* client.until(/101 Switching/), /\/slowHTTP\/1.1 200[^]*\/firstHTTP\/1.1 101 /)
        }
      })
  },
  {
    situation: "a request for a WebSocket while much of the responses before it is unsent",
    behavior: "is opened after them; its messages arrive, and so does the end of its client",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, arrived, respond } = yield* echo
        const journal: Array<string> = []
        const large = Effect.succeed(HttpServerResponse.text("x".repeat(200_000)))
        const server = yield* serve(byPath({ "/slow": app, "/large": large, "/first": app, "/socket": chat(journal) }))
        const client = yield* server.connect
        yield* client.send(`${get("/slow")}${get("/large")}`)
        yield* arrived()
        yield* awaitServerRead(server)
        yield* client.send(`${get("/first")}${get("/socket", ...webSocket)}`)
        yield* awaitServerRead(server)
        yield* respond
        const received = (yield* client.until(/101 Switching/)).split("HTTP/1.1 ")
        assert.deepStrictEqual(received.map((_) => [_.slice(0, 3), lengthOf(_)]), [
          ["", 0],
          ["200", 5],
          ["200", 200_000],
          ["200", 6],
          ["101", 0]
        ])
        yield* client.send(text("hello"))
        yield* client.until(/hello$/)
        client.socket.end()
        yield* client.closed
        const report = summarize(yield* Effect.flatten(server.beginDrain))
        assert.deepStrictEqual(report, { outcome: "Drained", finished: 0, cut: 0 })
        assert.deepStrictEqual(journal, ["Success"])
      })
  },
  {
    situation: "a streamed response before a request for a WebSocket, larger than what Node buffers",
    behavior: "is sent completely; then the WebSocket is opened",
    test: (serve) =>
      Effect.gen(function*() {
        const rows = Array.from({ length: 3 }, () => bytes("x".repeat(100_000)))
        const streamed = Effect.succeed(HttpServerResponse.stream(Stream.fromIterable(rows).pipe(Stream.rechunk(1))))
        const server = yield* serve(byPath({ "/rows": streamed, "/socket": chat([]) }))
        const client = yield* server.connect
        yield* client.send(`${get("/rows")}${get("/socket", ...webSocket)}`)
        const [before] = (yield* client.until(/101 Switching/)).split("HTTP/1.1 101 ")
        assert.strictEqual(before!.replace(/[^x]/g, "").length, 300_000)
      })
  },
  {
    situation: "a request for a WebSocket without a valid handshake",
    behavior: "is an ordinary request, before and in the drain",
    test: (serve) =>
      Effect.gen(function*() {
        const { app } = yield* echo
        const upgrade = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => request.upgrade)
        const opened = Effect.match(upgrade, {
          onSuccess: () => HttpServerResponse.text("opened"),
          onFailure: () => HttpServerResponse.text("refused", { status: 426 })
        })
        const server = yield* serve(byPath({ "/first": app, "/socket": opened }), { idleLinger: "5 seconds" })
        const client = yield* server.connect
        const invalid = [
          webSocket.filter((line) => !line.startsWith("Sec-WebSocket-Key")),
          webSocket.map((line) => line.replace("dGhl", "")),
          webSocket.map((line) => line.replace("13", "12")),
          [...webSocket, "Sec-WebSocket-Protocol: a,,b"],
          [...webSocket, "Sec-WebSocket-Protocol: a, a"]
        ]
        yield* client.send(invalid.map((lines) => get("/socket", ...lines)).join(""))
        yield* client.until(/(426 [^]*){5}/)
        yield* awaitServerRead(server)
        const drained = yield* server.beginDrain
        yield* client.send(get("/socket", ...invalid[0]!))
        assert.deepStrictEqual(responses(yield* client.closed), [
          ...invalid.map(() => "426 keep-alive refused"),
          "426 close refused"
        ])
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    situation: "a request for a WebSocket whose handler opens none",
    behavior: "is awaited as an ordinary request; its connection closes after its response",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, arrived, respond } = yield* echo
        const rows = Stream.concat(Stream.make(bytes("row")), Stream.never)
        const endless = Effect.succeed(HttpServerResponse.stream(rows))
        const server = yield* serve(byPath({ "/slow": app, "/rows": endless }), { streamTimeout: 0 })
        const client = yield* server.connect
        yield* client.send(get("/slow", ...webSocket))
        yield* arrived()
        const longLived = yield* server.connect
        yield* longLived.send(get("/rows"))
        yield* longLived.until(/row/)
        const drained = yield* server.beginDrain
        yield* longLived.closed
        yield* respond
        assert.match(yield* client.closed, /^HTTP\/1.1 200 OK[^]*\/slow$/)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Interrupted", finished: 1, cut: 1 })
      })
  }
]
