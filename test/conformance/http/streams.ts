import { HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert } from "@effect/vitest"
import { Effect, Schedule, Stream } from "effect"
import { Readable } from "node:stream"
import * as Shutdown from "../../../src/core/Shutdown.js"
import { get, responses } from "../../fixtures/http/client.js"
import { echo, summarize } from "../../fixtures/http/serving.js"
import {
  type App,
  awaitServerRead,
  byPath,
  bytes,
  type ConnectionCase,
  type Server,
  usedConnection
} from "./connectionCase.js"

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

/** A frame of a client. Those must be masked; a mask of zeros changes nothing. */
const frame = (opcode: number, payload: Buffer) =>
  Buffer.from([0x80 | opcode, 0x80 | payload.length, 0, 0, 0, 0, ...payload]).toString("latin1")

const hello = frame(1, Buffer.from("hello"))
const goingAway = Buffer.from([0x03, 0xe9])
const closeFrame = Buffer.from([0x88, 0x02, ...goingAway]).toString("latin1")

/** Sends back each message, until its socket is closed. Records how `run` exits. */
const chat = (journal: Array<string>): App =>
  Effect.gen(function*() {
    const socket = yield* Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => request.upgrade)
    const write = yield* socket.writer
    yield* Effect.onExit(socket.run(write), (exit) => Effect.sync(() => journal.push(exit._tag)))
    return HttpServerResponse.empty()
  }).pipe(Effect.orDie)

const openChat = (server: Server) =>
  Effect.tap(server.connect, (client) =>
    Effect.gen(function*() {
      yield* client.send(upgrade)
      yield* client.until(/101 Switching/)
      yield* client.send(hello)
      yield* client.until(/hello/)
    }))

/** Event streams and WebSockets. */
export const streams: ReadonlyArray<ConnectionCase> = [
  {
    situation: "an event stream",
    behavior: "ends cleanly between two chunks, at once, and counts as finished",
    test: (serve) =>
      Effect.gen(function*() {
        const journal: Array<string> = []
        const closing = Stream.ensuring(ticks, Effect.sync(() => journal.push("closed")))
        const readable = Effect.sync(() =>
          HttpServerResponse.raw(Readable.from(Stream.toAsyncIterable(closing)), { contentType: "text/event-stream" })
        )
        const server = yield* serve(byPath({ "/stream": events(closing), "/readable": readable }), {
          streamTimeout: "5 seconds"
        })
        const clients = yield* Effect.forEach(["/stream", "/readable"], (path) =>
          Effect.tap(server.connect, (client) =>
            Effect.zipRight(client.send(get(path)), client.until(/tick[^]*tick/))))
        const drained = yield* server.beginDrain
        for (const client of clients) {
          assert.match(yield* client.closed, /tick\n\n\r\n0\r\n\r\n$/)
          assert.strictEqual(client.errorCode(), undefined)
        }
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 2, cut: 0 })
        assert.deepStrictEqual(journal, ["closed", "closed"])
      })
  },
  {
    situation: "an event stream that ends when the drain begins (`Shutdown.untilDraining`)",
    behavior: "ends cleanly, at once",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(events(Shutdown.untilDraining(ticks)), { streamTimeout: "5 seconds" })
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* client.until(/tick/)
        const drained = yield* server.beginDrain
        assert.match(yield* client.closed, /tick\n\n\r\n0\r\n\r\n$/)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    situation: "an event stream with a last event (`Shutdown.untilDrainingThen`)",
    behavior: "sends the last event and ends cleanly, at once",
    test: (serve) =>
      Effect.gen(function*() {
        const last = Stream.make(bytes("event: bye\n\n"))
        const server = yield* serve(events(Shutdown.untilDrainingThen(last)(ticks)), { streamTimeout: "5 seconds" })
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* client.until(/tick/)
        const drained = yield* server.beginDrain
        assert.match(yield* client.closed, /event: bye\n\n\r\n0\r\n\r\n$/)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    situation: "an event stream whose handler waits for `Shutdown.draining` and does not end",
    behavior: "is interrupted after `streamTimeout`, and ends cleanly; other slow responses continue",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, arrived, respond } = yield* echo
        const observing = Effect.forkScoped(Effect.zipRight(Shutdown.draining, Effect.never))
        const server = yield* serve(byPath({
          "/slow": app,
          "/events": Effect.zipRight(observing, events(ticks))
        }))
        const slow = yield* server.connect
        yield* slow.send(get("/slow"))
        yield* arrived()
        const client = yield* server.connect
        yield* client.send(get("/events"))
        yield* client.until(/tick/)
        const drained = yield* server.beginDrain
        assert.match(yield* client.closed, /\r\n0\r\n\r\n$/)
        yield* respond
        assert.deepStrictEqual(responses(yield* slow.closed), ["200 close /slow"])
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Interrupted", finished: 1, cut: 1 })
      })
  },
  {
    situation: "an event stream that begins in the drain",
    behavior: "ends cleanly, at once, after its last event if it has one",
    test: (serve) =>
      Effect.gen(function*() {
        const last = Stream.make(bytes("event: bye\n\n"))
        const server = yield* serve(
          byPath({
            "/first": Effect.succeed(HttpServerResponse.text("/first")),
            "/events": events(Stream.never),
            "/last": events(Shutdown.untilDrainingThen(last)(Stream.never))
          }),
          { streamTimeout: "5 seconds", idleLinger: "5 seconds" }
        )
        const clients = yield* Effect.replicateEffect(usedConnection(server), 2)
        const drained = yield* server.beginDrain
        yield* Effect.forEach(["/events", "/last"], (path, index) => clients[index]!.send(get(path)))
        const [events_, last_] = yield* Effect.forEach(clients, (client) => client.closed)
        assert.match(events_!, /close\r\n[^]*\r\n\r\n0\r\n\r\n$/)
        assert.match(last_!, /event: bye\n\n\r\n0\r\n\r\n$/)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 2, cut: 0 })
      })
  },
  {
    situation: "a WebSocket",
    behavior: "is closed with 1001 at once; `run` succeeds in its handler, and it counts as finished",
    test: (serve) =>
      Effect.gen(function*() {
        const journal: Array<string> = []
        const server = yield* serve(chat(journal), { streamTimeout: "5 seconds" })
        const client = yield* openChat(server)
        const drained = yield* server.beginDrain
        yield* client.until(new RegExp(closeFrame, "s"))
        yield* client.send(frame(8, goingAway))
        assert.strictEqual((yield* client.closed).split("hello")[1], closeFrame)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
        assert.deepStrictEqual(journal, ["Success"])
      })
  },
  {
    situation: "a WebSocket whose client ignores the close",
    behavior: "is cut after `streamTimeout`: its handler is interrupted, its connection closed",
    test: (serve) =>
      Effect.gen(function*() {
        const journal: Array<string> = []
        const server = yield* serve(chat(journal))
        const client = yield* openChat(server)
        const drained = yield* server.beginDrain
        assert.strictEqual((yield* client.closed).split("hello")[1], closeFrame)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Interrupted", finished: 0, cut: 1 })
        assert.deepStrictEqual(journal, ["Failure"])
      })
  },
  {
    situation: "a WebSocket whose handler ignores its interruption",
    behavior: "is closed with 1001, then abandoned, and its connection destroyed",
    test: (serve) =>
      Effect.gen(function*() {
        const server = yield* serve(
          Effect.gen(function*() {
            const socket = yield* Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => request.upgrade)
            yield* Effect.fork(socket.run(() => Effect.void))
            return yield* Effect.uninterruptible(Effect.never)
          }).pipe(Effect.orDie),
          { drainTimeout: "100 millis", releaseTimeout: "200 millis" }
        )
        const client = yield* server.connect
        yield* client.send(upgrade)
        yield* client.until(/101 Switching/)
        const report = yield* (yield* server.beginDrain)
        assert.strictEqual((yield* client.closed).split("\r\n\r\n")[1], closeFrame)
        assert.deepStrictEqual(summarize(report), { outcome: "Abandoned", finished: 0, cut: 1 })
      })
  },
  {
    situation: "a WebSocket whose client disconnects",
    behavior: "ends, and leaves nothing behind",
    test: (serve) =>
      Effect.gen(function*() {
        const journal: Array<string> = []
        const server = yield* serve(chat(journal), { streamTimeout: "5 seconds" })
        const client = yield* openChat(server)
        yield* client.reset
        const report = yield* (yield* server.beginDrain)
        assert.deepStrictEqual([report.outcome, report.cut], ["Drained", 0])
      })
  },
  {
    situation: "a WebSocket whose client closes its end before the handshake",
    behavior: "ends, and leaves nothing behind",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, arrived, respond } = yield* echo
        const journal: Array<string> = []
        const server = yield* serve(Effect.zipRight(app, chat(journal)), { streamTimeout: "5 seconds" })
        const client = yield* server.connect
        yield* client.send(upgrade.replace("/", "/slow"))
        yield* arrived()
        client.socket.end()
        yield* awaitServerRead(server)
        const drained = yield* server.beginDrain
        yield* respond
        yield* client.closed
        const { cut, outcome } = yield* drained
        assert.deepStrictEqual([outcome, cut], ["Drained", 0])
        assert.deepStrictEqual(journal, ["Failure"])
      })
  },
  {
    situation: "a WebSocket whose handshake is in progress",
    behavior: "is opened, then closed with 1001 at once",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, arrived, respond } = yield* echo
        const journal: Array<string> = []
        const server = yield* serve(Effect.zipRight(app, chat(journal)), { streamTimeout: "5 seconds" })
        const client = yield* server.connect
        yield* client.send(upgrade.replace("/", "/slow"))
        yield* arrived()
        const drained = yield* server.beginDrain
        yield* respond
        yield* client.until(new RegExp(`101 Switching[^]*${closeFrame}`))
        yield* client.send(frame(8, goingAway))
        yield* client.closed
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
        assert.deepStrictEqual(journal, ["Success"])
      })
  },
  {
    situation: "a request for a WebSocket, in the drain",
    behavior: "gets a 503 with `Retry-After`",
    test: (serve) =>
      Effect.gen(function*() {
        const { app } = yield* echo
        const server = yield* serve(app, { idleLinger: "5 seconds" })
        const client = yield* usedConnection(server)
        const drained = yield* server.beginDrain
        yield* client.send(upgrade)
        const received = yield* client.closed
        assert.deepStrictEqual(responses(received), ["200 keep-alive /first", "503 close"])
        assert.match(received, /retry-after: 1/i)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 0, cut: 0 })
      })
  }
]
