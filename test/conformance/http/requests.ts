import { HttpServerResponse } from "@effect/platform"
import { assert } from "@effect/vitest"
import { Deferred, Effect, Stream } from "effect"
import { answers, get } from "../../fixtures/http/client.js"
import { gist } from "../../fixtures/http/serving.js"
import { bytes, echo, kept, type Shape } from "./shape.js"

/** Requests that are under way, and those that come later. */
export const requests: ReadonlyArray<Shape> = [
  {
    shape: "a request in flight",
    fate: "is answered, told `Connection: close`, and its connection closed",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, go, started } = yield* echo
        const server = yield* serve(app)
        const clients = yield* Effect.replicateEffect(server.connect, 10)
        yield* Effect.forEach(clients, (client) => client.send(get("/slow")))
        yield* started(10)
        const end = yield* server.stop
        yield* go
        const texts = yield* Effect.forEach(clients, (client) => client.closed)
        assert.deepStrictEqual(texts.flatMap(answers), Array.from({ length: 10 }, () => "200 close /slow"))
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 10, cut: 0 })
      })
  },
  {
    shape: "a request in flight whose response's head was sent",
    fate: "is finished; its connection lingers as an idle one, because the head has promised to keep it",
    test: (serve) =>
      Effect.gen(function*() {
        const go = yield* Deferred.make<void>()
        const rest = Stream.fromEffect(Effect.as(Deferred.await(go), bytes("tail")))
        const server = yield* serve(
          Effect.succeed(HttpServerResponse.stream(Stream.concat(Stream.make(bytes("head")), rest)))
        )
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* client.until(/head/)
        const end = yield* server.stop
        yield* Deferred.succeed(go, void 0)
        assert.match(yield* client.closed, /keep-alive[^]*head[^]*tail\r\n0\r\n\r\n$/)
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    shape: "the next request on a kept connection, in the lame duck",
    fate: "is answered and told `Connection: close`",
    test: (serve) =>
      Effect.gen(function*() {
        const { app } = yield* echo
        const server = yield* serve(app)
        const client = yield* kept(server)
        yield* server.to("LameDuck")
        yield* client.send(get("/second"))
        assert.deepStrictEqual(answers(yield* client.closed), ["200 keep-alive /first", "200 close /second"])
      })
  },
  {
    shape: "the next request on a kept connection, in the drain",
    fate: "is answered and told `Connection: close`, never refused",
    test: (serve) =>
      Effect.gen(function*() {
        const { app } = yield* echo
        const server = yield* serve(app, { idleLinger: "5 seconds" })
        const client = yield* kept(server)
        const end = yield* server.stop
        yield* client.send(get("/second"))
        assert.deepStrictEqual(answers(yield* client.closed), ["200 keep-alive /first", "200 close /second"])
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    shape: "pipelined requests",
    fate: "are all answered, in order; only the last answer says close",
    test: (serve) =>
      Effect.gen(function*() {
        const { app, go, started } = yield* echo
        const server = yield* serve(app)
        const client = yield* server.connect
        yield* client.send(get("/slow/1") + get("/slow/2"))
        yield* started(2)
        const end = yield* server.stop
        yield* client.send(get("/slow/3"))
        yield* started()
        yield* go
        assert.deepStrictEqual(
          answers(yield* client.closed),
          ["200 keep-alive /slow/1", "200 keep-alive /slow/2", "200 close /slow/3"]
        )
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 3, cut: 0 })
      })
  },
  {
    shape: "a request sent behind an answer that says close",
    fate: "is not taken: its handler never runs, so that the client may send it again elsewhere",
    test: (serve) =>
      Effect.gen(function*() {
        const go = yield* Deferred.make<void>()
        let taken = 0
        const rest = Stream.fromEffect(Effect.as(Deferred.await(go), bytes("tail")))
        const server = yield* serve(Effect.sync(() => {
          taken++
          return HttpServerResponse.stream(Stream.concat(Stream.make(bytes("head")), rest))
        }))
        yield* server.to("LameDuck")
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* client.until(/close[^]*head/)
        yield* client.send(get("/behind"))
        const other = yield* server.connect
        yield* other.send(get("/livez"))
        yield* other.closed
        const end = yield* server.stop
        yield* Deferred.succeed(go, void 0)
        assert.match(yield* client.closed, /tail\r\n0\r\n\r\n$/)
        assert.strictEqual(taken, 1)
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
      })
  },
  {
    shape: "a handler that dies",
    fate: "is answered with 500 and told close",
    test: (serve) =>
      Effect.gen(function*() {
        const go = yield* Deferred.make<void>()
        const started = yield* Effect.makeLatch()
        const server = yield* serve(
          Effect.zipRight(started.open, Effect.zipRight(Deferred.await(go), Effect.die("boom")))
        )
        const client = yield* server.connect
        yield* client.send(get("/"))
        yield* started.await
        const end = yield* server.stop
        yield* Deferred.succeed(go, void 0)
        assert.deepStrictEqual(answers(yield* client.closed), ["500 close"])
        assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
      })
  }
]
