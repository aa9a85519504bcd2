import { HttpServerRequest } from "@effect/platform"
import { assert } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import * as Shutdown from "../../../src/core/Shutdown.js"
import { get, responses } from "../../fixtures/http/client.js"
import { echo, summarize } from "../../fixtures/http/serving.js"
import {
  chat,
  closeFrame,
  closing,
  openChat,
  replyToClose,
  slowChat,
  text,
  upgrade,
  webSocket
} from "../../fixtures/http/webSocket.js"
import { awaitServerRead, awaitServerReadOver, type ConnectionCase, usedConnection } from "./connectionCase.js"

/** WebSockets, whose handlers know nothing of the drain unless the situation says so. */
export const webSockets: ReadonlyArray<ConnectionCase> = [
  {
    situation: "a WebSocket",
    behavior:
      "is closed with 1001 after `idleLinger`, because a message may be on its way; `run` succeeds in its handler, and it counts as finished",
    test: (serve) =>
      Effect.gen(function*() {
        const journal: Array<string> = []
        const server = yield* serve(chat(journal), { streamTimeout: "5 seconds" })
        const client = yield* openChat(server)
        const drained = yield* server.beginDrain
        assert.strictEqual((yield* replyToClose(client)).split("hello")[1], closeFrame)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
        assert.deepStrictEqual(journal, ["Success"])
      })
  },
  {
    situation: "a WebSocket whose `idleLinger` is longer than `streamTimeout`",
    behavior:
      "is closed with 1001 after `streamTimeout`, because a later message would not be handled; it counts as finished",
    test: (serve) =>
      Effect.gen(function*() {
        const journal: Array<string> = []
        const server = yield* serve(chat(journal), { idleLinger: "15 seconds", streamTimeout: "4 seconds" })
        const client = yield* openChat(server)
        const drained = yield* server.beginDrain
        assert.strictEqual((yield* replyToClose(client)).split("hello")[1], closeFrame)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
        assert.deepStrictEqual(journal, ["Success"])
      })
  },
  {
    situation: "a WebSocket with messages in flight, such as calls of `@effect/rpc`",
    behavior:
      "gets their replies, also after `streamTimeout`; then it is closed with 1001 at once, and counts as finished",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, journal, respond } = yield* slowChat
        const server = yield* serve(app, { idleLinger: "15 seconds", streamTimeout: "4 seconds" })
        const client = yield* openChat(server)
        const idle = yield* openChat(server)
        const probe = yield* server.connect
        yield* probe.send(get("/livez"))
        yield* probe.until(/200 OK/)
        yield* client.send(text("slow"))
        yield* awaitServerRead(server)
        const drained = yield* server.beginDrain
        yield* client.send(text("next"))
        yield* client.until(/next/)
        // Closed after `streamTimeout`, because `idleLinger` is longer here.
        yield* replyToClose(idle)
        yield* client.send(text("late"))
        yield* awaitServerReadOver(probe)
        yield* respond
        yield* replyToClose(client, "slow")
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 2, cut: 0 })
        assert.deepStrictEqual(journal, ["hello", "hello", "slow", "next", "Success", "Success"])
      })
  },
  {
    situation: "a message of a WebSocket that arrives in the drain",
    behavior:
      "is handled, unless `streamTimeout` has passed; if no other one is in flight then, its WebSocket is closed with 1001 at once",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, journal } = yield* slowChat
        const server = yield* serve(app, { idleLinger: "5 seconds", streamTimeout: "5 seconds" })
        const client = yield* openChat(server)
        const drained = yield* server.beginDrain
        yield* client.send(`${text("a")}${text("b")}`)
        yield* client.until(new RegExp(`a[^]*b${closeFrame}`, "s"))
        yield* client.send(`${text("c")}${closing}`)
        yield* client.closed
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
        assert.deepStrictEqual(journal, ["hello", "a", "b", "Success"])
      })
  },
  {
    situation: "a message of a WebSocket that has had a reply and goes on, such as a stream of `@effect/rpc`",
    behavior:
      "has until `streamTimeout` to end; then it is interrupted, its WebSocket closed with 1001, and counted as cut",
    test: (serve) =>
      Effect.gen(function*() {
        const journal: Array<string> = []
        const server = yield* serve(webSocket(journal, (socket, write) =>
          socket.run((message) =>
            Effect.zipRight(write(message), Effect.never).pipe(
              Effect.onInterrupt(() => Effect.ignore(write("interrupted")))
            )
          )))
        const client = yield* openChat(server)
        const drained = yield* server.beginDrain
        yield* replyToClose(client, "interrupted")
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Interrupted", finished: 0, cut: 1 })
      })
  },
  {
    situation: "a WebSocket whose handler waits for `Shutdown.draining`",
    behavior: "is left to its handler, and closed with 1001 when that ends `run`",
    test: (serve) =>
      Effect.gen(function*() {
        const journal: Array<string> = []
        const server = yield* serve(
          webSocket(journal, (socket, write) =>
            Effect.raceFirst(
              socket.run(write),
              Shutdown.draining.pipe(Effect.zipRight(Effect.sleep("200 millis")), Effect.zipRight(write("bye")))
            )),
          { streamTimeout: "5 seconds" }
        )
        const client = yield* openChat(server)
        const drained = yield* server.beginDrain
        yield* replyToClose(client, "bye")
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
        assert.deepStrictEqual(journal, ["Success"])
      })
  },
  {
    situation: "a WebSocket whose handler waits for `Shutdown.draining` and does not end",
    behavior: "is cut after `streamTimeout`: its handler is interrupted, and it is closed with 1001",
    test: (serve) =>
      Effect.gen(function*() {
        const journal: Array<string> = []
        const server = yield* serve(webSocket(journal, (socket, write) =>
          Effect.zipRight(Effect.forkScoped(Effect.zipRight(Shutdown.draining, Effect.never)), socket.run(write))))
        const client = yield* openChat(server)
        const drained = yield* server.beginDrain
        yield* replyToClose(client)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Interrupted", finished: 0, cut: 1 })
        assert.deepStrictEqual(journal, ["Failure"])
      })
  },
  {
    situation: "a WebSocket whose handler ends `run` before the drain",
    behavior: "is closed, without a code, as by the platform",
    test: (serve) =>
      Effect.gen(function*() {
        const journal: Array<string> = []
        const server = yield* serve(webSocket(journal, (socket, write) =>
          Effect.flatMap(Deferred.make<void>(), (ended) =>
            Effect.raceFirst(
              socket.run((message) => Effect.zipRight(write(message), Deferred.succeed(ended, void 0))),
              Deferred.await(ended)
            ))))
        const client = yield* openChat(server)
        yield* client.until(/hello\x88\x00$/)
        yield* client.send(closing)
        yield* client.closed
        assert.deepStrictEqual(journal, ["Success"])
        assert.deepStrictEqual(summarize(yield* yield* server.beginDrain), { outcome: "Drained", finished: 0, cut: 0 })
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
    behavior: "is opened, then closed with 1001 after `idleLinger`",
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
        yield* replyToClose(client, "101 Switching[^]*")
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
