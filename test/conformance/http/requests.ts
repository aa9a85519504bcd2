import { HttpServerResponse } from "@effect/platform"
import { assert } from "@effect/vitest"
import { Deferred, Effect, Stream } from "effect"
import { draining } from "../../../src/core/Shutdown.js"
import { get, responses } from "../../fixtures/http/client.js"
import { echo, summarize } from "../../fixtures/http/serving.js"
import { bytes, type ConnectionCase, usedConnection } from "./connectionCase.js"

/** Requests that are in flight when the shutdown begins, and later ones. */
export const requests: ReadonlyArray<ConnectionCase> = [
  {
    situation: "a request in flight",
    behavior: "gets its response with `Connection: close`; then the connection is closed",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, arrived, respond } = yield* echo
        const server = yield* serve(app)
        const clients = yield* Effect.replicateEffect(server.connect, 10)
        yield* Effect.forEach(clients, (client) => client.send(get("/slow")))
        yield* arrived(10)
        const drained = yield* server.beginDrain
        yield* respond
        const texts = yield* Effect.forEach(clients, (client) => client.closed)
        assert.deepStrictEqual(texts.flatMap(responses), Array.from({ length: 10 }, () => "200 close /slow"))
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 10, cut: 0 })
      })
  },
  {
    situation: "a request in flight whose response head is sent",
    behavior:
      "gets the rest of its response; the connection closes after `idleLinger`, because the head did not say close",
    test: (serve) =>
      Effect.gen(function*() {
        const proceed = yield* Deferred.make<void>()
        const rest = Stream.fromEffect(Effect.as(Deferred.await(proceed), bytes("tail")))
        const server = yield* serve(
          Effect.succeed(HttpServerResponse.stream(Stream.concat(Stream.make(bytes("head")), rest)))
        )
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* client.until(/head/)
        const drained = yield* server.beginDrain
        yield* Deferred.succeed(proceed, void 0)
        assert.match(yield* client.closed, /keep-alive[^]*head[^]*tail\r\n0\r\n\r\n$/)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    situation: "another request on a used connection, in lame duck",
    behavior: "gets its response with `Connection: close`",
    test: (serve) =>
      Effect.gen(function*() {
        const { app } = yield* echo
        const server = yield* serve(app)
        const client = yield* usedConnection(server)
        yield* server.transition("LameDuck")
        yield* client.send(get("/second"))
        assert.deepStrictEqual(responses(yield* client.closed), ["200 keep-alive /first", "200 close /second"])
      })
  },
  {
    situation: "another request on a used connection, in the drain",
    behavior: "gets its response with `Connection: close`, and is never refused",
    test: (serve) =>
      Effect.gen(function*() {
        const { app } = yield* echo
        const server = yield* serve(app, { idleLinger: "5 seconds" })
        const client = yield* usedConnection(server)
        const drained = yield* server.beginDrain
        yield* client.send(get("/second"))
        assert.deepStrictEqual(responses(yield* client.closed), ["200 keep-alive /first", "200 close /second"])
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    situation: "pipelined requests",
    behavior: "all get their responses, in order; only the last response says close",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, arrived, respond } = yield* echo
        const server = yield* serve(app)
        const client = yield* server.connect
        yield* client.send(get("/slow/1") + get("/slow/2"))
        yield* arrived(2)
        const drained = yield* server.beginDrain
        yield* client.send(get("/slow/3"))
        yield* arrived()
        yield* respond
        assert.deepStrictEqual(
          responses(yield* client.closed),
          ["200 keep-alive /slow/1", "200 keep-alive /slow/2", "200 close /slow/3"]
        )
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 3, cut: 0 })
      })
  },
  {
    situation: "a request after a response that says close",
    behavior: "is not accepted: its handler never runs, so the client may send it again elsewhere",
    test: (serve) =>
      Effect.gen(function*() {
        const proceed = yield* Deferred.make<void>()
        let handled = 0
        const rest = Stream.fromEffect(Effect.as(Deferred.await(proceed), bytes("tail")))
        const server = yield* serve(Effect.sync(() => {
          handled++
          return HttpServerResponse.stream(Stream.concat(Stream.make(bytes("head")), rest))
        }))
        yield* server.transition("LameDuck")
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* client.until(/close[^]*head/)
        yield* client.send(get("/after"))
        const other = yield* server.connect
        yield* other.send(get("/livez"))
        yield* other.closed
        const drained = yield* server.beginDrain
        yield* Deferred.succeed(proceed, void 0)
        assert.match(yield* client.closed, /tail\r\n0\r\n\r\n$/)
        assert.strictEqual(handled, 1)
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    situation: "a fiber that a handler leaves behind (`Effect.forkDaemon`)",
    behavior: "is awaited before anything that handlers use is released",
    test: (serve) =>
      Effect.gen(function*() {
        const journal: Array<string> = []
        const work = Effect.zipRight(draining, Effect.delay(Effect.sync(() => journal.push("done")), "20 millis"))
        const server = yield* serve(Effect.as(Effect.forkDaemon(work), HttpServerResponse.text("/first")))
        yield* usedConnection(server)
        const drained = yield* server.beginDrain
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 0, cut: 0 })
        assert.deepStrictEqual(journal, ["done"])
      })
  },
  {
    situation: "a handler that dies",
    behavior: "responds with a 500 that says close",
    test: (serve) =>
      Effect.gen(function*() {
        const proceed = yield* Deferred.make<void>()
        const started = yield* Effect.makeLatch()
        const server = yield* serve(
          Effect.zipRight(started.open, Effect.zipRight(Deferred.await(proceed), Effect.die("boom")))
        )
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* started.await
        const drained = yield* server.beginDrain
        yield* Deferred.succeed(proceed, void 0)
        assert.deepStrictEqual(responses(yield* client.closed), ["500 close"])
        assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
      })
  }
]
