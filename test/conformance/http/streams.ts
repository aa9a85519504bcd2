import { HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert } from "@effect/vitest"
import { Effect, Schedule, Stream } from "effect"
import * as Shutdown from "../../../src/core/Shutdown.js"
import { answers, get } from "../../fixtures/http/client.js"
import { gist } from "../../fixtures/http/serving.js"
import { type App, bytes, echo, kept, type Server, type Shape } from "./shape.js"

const ticks = Stream.repeatValue(bytes("data: tick\n\n")).pipe(Stream.schedule(Schedule.spaced("10 millis")))

const events = (stream: Stream.Stream<Uint8Array>): App =>
  Effect.succeed(HttpServerResponse.stream(stream, { contentType: "text/event-stream" }))

const upgrade = get(
  "/",
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
)

/** Frames of a client are masked; a mask of zeros changes nothing. */
const frame = (opcode: number, payload: Buffer) =>
  Buffer.from([0x80 | opcode, 0x80 | payload.length, 0, 0, 0, 0, ...payload]).toString("latin1")

const hello = frame(1, Buffer.from("hello"))
const goingAway = Buffer.from([0x03, 0xe9])
const goodbye = Buffer.from([0x88, 0x02, ...goingAway]).toString("latin1")

/** Sends back what it is sent, until its socket is closed. */
const chat = (journal: Array<string>): App =>
  Effect.gen(function*() {
    const socket = yield* Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => request.upgrade)
    const write = yield* socket.writer
    yield* Effect.onExit(socket.run(write), (exit) => Effect.sync(() => journal.push(exit._tag)))
    return HttpServerResponse.empty()
  }).pipe(Effect.orDie)

const chatting = (server: Server) =>
  Effect.tap(server.connect, (client) =>
    Effect.gen(function*() {
      yield* client.send(upgrade)
      yield* client.until(/101 Switching/)
      yield* client.send(hello)
      yield* client.until(/hello/)
    }))

/** Answers without an end, and WebSockets. */
export const streams: ReadonlyArray<Shape> = [
  {
    shape: "an event stream that is told (`Shutdown.untilDraining`)",
    fate: "ends cleanly, at once",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(events(Shutdown.untilDraining(ticks)), { streamTimeout: "5 seconds" })
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* client.until(/tick/)
        const end = yield* server.stop
        assert.match(yield* client.closed, /tick\n\n\r\n0\r\n\r\n$/)
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    shape: "an event stream with a last event (`Shutdown.untilDrainingThen`)",
    fate: "sends it, and ends cleanly, at once",
    test: (serve) =>
      Effect.gen(function*() {
        const last = Stream.make(bytes("event: bye\n\n"))
        const server = yield* serve(events(Shutdown.untilDrainingThen(last)(ticks)), { streamTimeout: "5 seconds" })
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* client.until(/tick/)
        const end = yield* server.stop
        assert.match(yield* client.closed, /event: bye\n\n\r\n0\r\n\r\n$/)
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    shape: "an event stream that does not listen",
    fate: "is interrupted at `streamTimeout`, and ends cleanly; slow answers are not",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, go, started } = yield* echo
        const server = yield* serve(
          Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ url }) => url === "/events" ? events(ticks) : app)
        )
        const slow = yield* server.connect
        yield* slow.send(get("/slow"))
        yield* started()
        const client = yield* server.connect
        yield* client.send(get("/events"))
        yield* client.until(/tick/)
        const end = yield* server.stop
        assert.match(yield* client.closed, /\r\n0\r\n\r\n$/)
        yield* go
        assert.deepStrictEqual(answers(yield* slow.closed), ["200 close /slow"])
        assert.deepStrictEqual(gist(yield* end), { outcome: "Interrupted", finished: 1, cut: 1 })
      })
  },
  {
    shape: "a WebSocket",
    fate: "is closed with 1001 at once; its handler sees it end, and it counts as finished",
    test: (serve) =>
      Effect.gen(function*() {
        const journal: Array<string> = []
        const server = yield* serve(chat(journal), { streamTimeout: "5 seconds" })
        const client = yield* chatting(server)
        const end = yield* server.stop
        yield* client.until(new RegExp(goodbye, "s"))
        yield* client.send(frame(8, goingAway))
        assert.strictEqual((yield* client.closed).split("hello")[1], goodbye)
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
        assert.deepStrictEqual(journal, ["Success"])
      })
  },
  {
    shape: "a WebSocket whose peer ignores that",
    fate: "is cut at `streamTimeout`: its handler is interrupted, its connection closed",
    test: (serve) =>
      Effect.gen(function*() {
        const journal: Array<string> = []
        const server = yield* serve(chat(journal))
        const client = yield* chatting(server)
        const end = yield* server.stop
        assert.strictEqual((yield* client.closed).split("hello")[1], goodbye)
        assert.deepStrictEqual(gist(yield* end), { outcome: "Interrupted", finished: 0, cut: 1 })
        assert.deepStrictEqual(journal, ["Failure"])
      })
  },
  {
    shape: "a WebSocket whose handler ignores its interruption",
    fate: "is told, then abandoned, and its connection destroyed",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(
          Effect.gen(function*() {
            const socket = yield* Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => request.upgrade)
            yield* Effect.zipRight(Effect.fork(socket.run(() => Effect.void)), Effect.uninterruptible(Effect.never))
            return HttpServerResponse.empty()
          }).pipe(Effect.orDie),
          { drainTimeout: "100 millis", releaseTimeout: "200 millis" }
        )
        const client = yield* server.connect
        yield* client.send(upgrade)
        yield* client.until(/101 Switching/)
        const report = yield* (yield* server.stop)
        assert.strictEqual((yield* client.closed).split("\r\n\r\n")[1], goodbye)
        assert.deepStrictEqual(gist(report), { outcome: "Abandoned", finished: 0, cut: 1 })
      })
  },
  {
    shape: "a WebSocket whose peer disappears",
    fate: "is over, and nothing is left of it",
    test: (serve) =>
      Effect.gen(function*() {
        const journal: Array<string> = []
        const server = yield* serve(chat(journal), { streamTimeout: "5 seconds" })
        const client = yield* chatting(server)
        yield* client.disappear
        const report = yield* (yield* server.stop)
        assert.deepStrictEqual([report.outcome, report.cut], ["Drained", 0])
      })
  },
  {
    shape: "a WebSocket whose handshake is under way",
    fate: "is opened, then closed with 1001 at once",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, go, started } = yield* echo
        const journal: Array<string> = []
        const server = yield* serve(Effect.zipRight(app, chat(journal)), { streamTimeout: "5 seconds" })
        const client = yield* server.connect
        yield* client.send(upgrade.replace("/", "/slow"))
        yield* started()
        const end = yield* server.stop
        yield* go
        yield* client.until(new RegExp(`101 Switching[^]*${goodbye}`))
        yield* client.send(frame(8, goingAway))
        yield* client.closed
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
        assert.deepStrictEqual(journal, ["Success"])
      })
  },
  {
    shape: "a request for an upgrade, in the drain",
    fate: "is refused: 503 with `Retry-After`",
    test: (serve) =>
      Effect.gen(function*() {
        const { app } = yield* echo
        const server = yield* serve(app, { idleLinger: "5 seconds" })
        const client = yield* kept(server)
        const end = yield* server.stop
        yield* client.send(upgrade)
        const received = yield* client.closed
        assert.deepStrictEqual(answers(received), ["200 keep-alive /first", "503 close"])
        assert.match(received, /retry-after: 1/i)
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 0, cut: 0 })
      })
  }
]
