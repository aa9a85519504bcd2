import { HttpServerResponse } from "@effect/platform"
import { assert } from "@effect/vitest"
import { Effect, Schedule, Stream } from "effect"
import { Readable } from "node:stream"
import * as Shutdown from "../../../src/core/Shutdown.js"
import { get, responses } from "../../fixtures/http/client.js"
import { echo, summarize } from "../../fixtures/http/serving.js"
import { type App, byPath, bytes, type ConnectionCase, usedConnection } from "./connectionCase.js"

const ticks = Stream.repeatValue(bytes("data: tick\n\n")).pipe(Stream.schedule(Schedule.spaced("10 millis")))

const events = (stream: Stream.Stream<Uint8Array>): App =>
  Effect.succeed(HttpServerResponse.stream(stream, { contentType: "text/event-stream" }))

/** Event streams. */
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
  }
]
