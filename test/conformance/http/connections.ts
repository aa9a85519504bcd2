import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { get, responses } from "../../fixtures/http/client.js"
import { echo, echoBody, summarize } from "../../fixtures/http/serving.js"
import { awaitServerRead, type ConnectionCase, usedConnection } from "./connectionCase.js"

const upload = (...headers: ReadonlyArray<string>) => get("/", "Content-Length: 10", ...headers).replace("GET", "POST")

/** Connections without a request, or with an incomplete one. */
export const connections: ReadonlyArray<ConnectionCase> = [
  {
    situation: "an idle connection",
    behavior: "is closed after `idleLinger`",
    test: (serve) =>
      Effect.gen(function*() {
        const { app } = yield* echo
        const server = yield* serve(app)
        const client = yield* usedConnection(server)
        const drained = yield* server.beginDrain
        assert.deepStrictEqual(responses(yield* client.closed), ["200 keep-alive /first"])
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 0, cut: 0 })
      })
  },
  {
    situation: "a connection without a request",
    behavior: "is closed after `idleLinger`",
    test: (serve) =>
      Effect.gen(function*() {
        const { app } = yield* echo
        const server = yield* serve(app)
        const client = yield* server.connect
        yield* awaitServerRead(server)
        const drained = yield* server.beginDrain
        assert.strictEqual(yield* client.closed, "")
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 0, cut: 0 })
      })
  },
  {
    situation: "an incomplete head that the client completes",
    behavior: "gets a response that says close",
    test: (serve) =>
      Effect.gen(function*() {
        const { app } = yield* echo
        const server = yield* serve(app, { idleLinger: "20 millis", stallTimeout: "5 seconds" })
        const idle = yield* usedConnection(server)
        const client = yield* server.connect
        yield* client.send("GET /half HTTP/1.1\r\nHo")
        yield* awaitServerRead(server)
        const drained = yield* server.beginDrain
        yield* idle.closed
        yield* client.send("st: test\r\n\r\n")
        assert.deepStrictEqual(responses(yield* client.closed), ["200 close /half"])
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    situation: "an incomplete head that the client does not complete",
    behavior: "gets a 408 after `stallTimeout`, and the connection is closed",
    test: (serve) =>
      Effect.gen(function*() {
        const { app } = yield* echo
        const server = yield* serve(app)
        const client = yield* server.connect
        yield* client.send("GET / HTTP/1.1\r\nHo")
        yield* awaitServerRead(server)
        const drained = yield* server.beginDrain
        assert.deepStrictEqual(responses(yield* client.closed), ["408 close"])
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 0, cut: 0 })
      })
  },
  {
    situation: "a slow upload that makes progress",
    behavior: "is awaited, and gets a response that says close",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(echoBody, { stallTimeout: "300 millis" })
        const client = yield* server.connect
        yield* client.send(`${upload()}0`)
        yield* awaitServerRead(server)
        const drained = yield* server.beginDrain
        yield* Effect.forEach("12345678", (digit) => Effect.delay(client.send(digit), "50 millis"))
        yield* client.send("9")
        assert.deepStrictEqual(responses(yield* client.closed), ["200 close 0123456789"])
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    situation: "an upload that stalls",
    behavior: "gets a 408 after `stallTimeout`; its handler is interrupted, its connection closed",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(echoBody)
        const client = yield* server.connect
        yield* client.send(`${upload()}half`)
        yield* awaitServerRead(server)
        const drained = yield* server.beginDrain
        assert.deepStrictEqual(responses(yield* client.closed), ["408 close"])
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Interrupted", finished: 0, cut: 1 })
      })
  },
  {
    situation: "an upload whose response ends before its body",
    behavior:
      "gets a response that says close; the rest of the body is read and discarded, because a reset could discard the response",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, arrived, respond } = yield* echo
        const server = yield* serve(app, { idleLinger: "5 seconds" })
        const client = yield* server.connect
        const half = "x".repeat(200_000)
        yield* client.send(`POST /slow HTTP/1.1\r\nHost: test\r\nContent-Length: 400000\r\n\r\n${half}`)
        yield* arrived()
        const drained = yield* server.beginDrain
        yield* respond
        yield* client.until(/slow$/)
        yield* client.send(half)
        client.socket.end()
        assert.deepStrictEqual(responses(yield* client.closed), ["200 close /slow"])
        assert.strictEqual(client.errorCode(), undefined)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    situation: "`Expect: 100-continue`",
    behavior: "gets a 100, is awaited, and gets a response that says close",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(echoBody, { idleLinger: "5 seconds", stallTimeout: "5 seconds" })
        const client = yield* server.connect
        yield* awaitServerRead(server)
        const drained = yield* server.beginDrain
        yield* client.send(upload("Expect: 100-continue"))
        yield* client.until(/^HTTP\/1.1 100 Continue\r\n\r\n$/)
        yield* client.send("0123456789")
        assert.deepStrictEqual(responses(yield* client.closed), ["200 close 0123456789"])
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    situation: "`Expect: 100-continue` without a body",
    behavior: "gets a 408 after `stallTimeout`; its handler is interrupted, its connection closed",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(echoBody)
        const client = yield* server.connect
        yield* client.send(upload("Expect: 100-continue"))
        yield* client.until(/100 Continue/)
        const drained = yield* server.beginDrain
        assert.deepStrictEqual(responses(yield* client.closed), ["408 close"])
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Interrupted", finished: 0, cut: 1 })
      })
  },
  {
    situation: "a new connection, in lame duck",
    behavior: "is accepted; its request gets a response that says close",
    test: (serve) =>
      Effect.gen(function*() {
        const { app } = yield* echo
        const server = yield* serve(app)
        yield* server.transition("LameDuck")
        const client = yield* server.connect
        yield* client.send(get("/new"))
        assert.deepStrictEqual(responses(yield* client.closed), ["200 close /new"])
      })
  },
  {
    situation: "a new connection, in the drain",
    behavior: "is refused",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, arrived, respond } = yield* echo
        const server = yield* serve(app)
        const slow = yield* server.connect
        yield* slow.send(get("/slow"))
        yield* arrived()
        const drained = yield* server.beginDrain
        assert.isTrue(yield* (yield* server.connect).refused)
        yield* respond
        yield* slow.closed
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
      })
  }
]
