import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { answers, get } from "../../fixtures/http/client.js"
import { gist } from "../../fixtures/http/serving.js"
import { echo, kept, mirror, settled, type Shape } from "./shape.js"

const upload = (...headers: ReadonlyArray<string>) => get("/", "Content-Length: 10", ...headers).replace("GET", "POST")

/** Connections on which nothing is in flight yet, or not a whole request. */
export const connections: ReadonlyArray<Shape> = [
  {
    shape: "an idle connection",
    fate: "lingers for `idleLinger`, then is closed",
    test: (serve) =>
      Effect.gen(function*() {
        const { app } = yield* echo
        const server = yield* serve(app)
        const client = yield* kept(server)
        const end = yield* server.stop
        assert.deepStrictEqual(answers(yield* client.closed), ["200 keep-alive /first"])
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 0, cut: 0 })
      })
  },
  {
    shape: "a silent connection: not a byte was sent",
    fate: "lingers for `idleLinger`, then is closed",
    test: (serve) =>
      Effect.gen(function*() {
        const { app } = yield* echo
        const server = yield* serve(app)
        const client = yield* server.connect
        yield* settled(server)
        const end = yield* server.stop
        assert.strictEqual(yield* client.closed, "")
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 0, cut: 0 })
      })
  },
  {
    shape: "a half-sent head that becomes whole",
    fate: "is answered and told close",
    test: (serve) =>
      Effect.gen(function*() {
        const { app } = yield* echo
        const server = yield* serve(app, { idleLinger: "20 millis", stallTimeout: "5 seconds" })
        const idle = yield* kept(server)
        const client = yield* server.connect
        yield* client.send("GET /half HTTP/1.1\r\nHo")
        yield* settled(server)
        const end = yield* server.stop
        yield* idle.closed
        yield* client.send("st: test\r\n\r\n")
        assert.deepStrictEqual(answers(yield* client.closed), ["200 close /half"])
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    shape: "a half-sent head that does not",
    fate: "is answered with 408 at `stallTimeout`, and closed",
    test: (serve) =>
      Effect.gen(function*() {
        const { app } = yield* echo
        const server = yield* serve(app)
        const client = yield* server.connect
        yield* client.send("GET / HTTP/1.1\r\nHo")
        yield* settled(server)
        const end = yield* server.stop
        assert.deepStrictEqual(answers(yield* client.closed), ["408 close"])
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 0, cut: 0 })
      })
  },
  {
    shape: "a slow upload that moves",
    fate: "is waited for, answered and told close",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(mirror, { stallTimeout: "300 millis" })
        const client = yield* server.connect
        yield* client.send(`${upload()}0`)
        yield* settled(server)
        const end = yield* server.stop
        yield* Effect.forEach("12345678", (digit) => Effect.delay(client.send(digit), "50 millis"))
        yield* client.send("9")
        assert.deepStrictEqual(answers(yield* client.closed), ["200 close 0123456789"])
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    shape: "an upload that stands still",
    fate: "is answered with 408 at `stallTimeout`, its handler interrupted, its connection closed",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(mirror)
        const client = yield* server.connect
        yield* client.send(`${upload()}half`)
        yield* settled(server)
        const end = yield* server.stop
        assert.deepStrictEqual(answers(yield* client.closed), ["408 close"])
        assert.deepStrictEqual(gist(yield* end), { outcome: "Interrupted", finished: 0, cut: 1 })
      })
  },
  {
    shape: "an upload that is answered before it was read",
    fate: "is answered and told close; what still comes is read and dropped, so that no reset takes the answer with it",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, go, started } = yield* echo
        const server = yield* serve(app, { idleLinger: "5 seconds" })
        const client = yield* server.connect
        const half = "x".repeat(200_000)
        yield* client.send(`POST /slow HTTP/1.1\r\nHost: test\r\nContent-Length: 400000\r\n\r\n${half}`)
        yield* started()
        const end = yield* server.stop
        yield* go
        yield* client.until(/slow$/)
        yield* client.send(half)
        client.socket.end()
        assert.deepStrictEqual(answers(yield* client.closed), ["200 close /slow"])
        assert.strictEqual(client.failure(), undefined)
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    shape: "`Expect: 100-continue`",
    fate: "is told to continue, waited for, answered and told close",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(mirror, { idleLinger: "5 seconds", stallTimeout: "5 seconds" })
        const client = yield* server.connect
        yield* settled(server)
        const end = yield* server.stop
        yield* client.send(upload("Expect: 100-continue"))
        yield* client.until(/^HTTP\/1.1 100 Continue\r\n\r\n$/)
        yield* client.send("0123456789")
        assert.deepStrictEqual(answers(yield* client.closed), ["200 close 0123456789"])
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    shape: "`Expect: 100-continue`, and no body",
    fate: "is answered with 408 at `stallTimeout`, its handler interrupted, its connection closed",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(mirror)
        const client = yield* server.connect
        yield* client.send(upload("Expect: 100-continue"))
        yield* client.until(/100 Continue/)
        const end = yield* server.stop
        assert.deepStrictEqual(answers(yield* client.closed), ["408 close"])
        assert.deepStrictEqual(gist(yield* end), { outcome: "Interrupted", finished: 0, cut: 1 })
      })
  },
  {
    shape: "a new connection, in the lame duck",
    fate: "is accepted, answered and told close",
    test: (serve) =>
      Effect.gen(function*() {
        const { app } = yield* echo
        const server = yield* serve(app)
        yield* server.to("LameDuck")
        const client = yield* server.connect
        yield* client.send(get("/new"))
        assert.deepStrictEqual(answers(yield* client.closed), ["200 close /new"])
      })
  },
  {
    shape: "a new connection, in the drain",
    fate: "is refused",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, go, started } = yield* echo
        const server = yield* serve(app)
        const slow = yield* server.connect
        yield* slow.send(get("/slow"))
        yield* started()
        const end = yield* server.stop
        const client = yield* server.connect
        assert.notStrictEqual(client.socket.readyState, "open")
        yield* go
        yield* slow.closed
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
      })
  }
]
