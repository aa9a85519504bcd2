import { HttpRouter, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Queue, Stream } from "effect"
import { connect, get } from "../../fixtures/http/client.js"
import { gist, serving } from "../../fixtures/http/serving.js"

describe("HttpServer, whose clients go away", () => {
  it.scopedLive("a client that disappears interrupts a bare handler, and a route unless it is uninterruptible", () =>
    Effect.gen(function*() {
      const started = yield* Queue.unbounded<string>()
      const ended = yield* Queue.unbounded<string>()
      const go = yield* Deferred.make<void>()
      const wait = (name: string) =>
        Effect.zipRight(started.offer(name), Deferred.await(go)).pipe(
          Effect.onExit((exit) => ended.offer(`${name} ${Exit.isInterrupted(exit) ? "interrupted" : "finished"}`)),
          Effect.as(HttpServerResponse.text(name))
        )
      const router = HttpRouter.empty.pipe(
        HttpRouter.get("/route", wait("route")),
        HttpRouter.get("/kept", wait("kept"), { uninterruptible: true }),
        Effect.catchTag("RouteNotFound", () => wait("bare"))
      )
      const server = yield* serving(router)
      const visit = (path: string) =>
        Effect.gen(function*() {
          const client = yield* connect(server.port)
          yield* client.send(get(path))
          const name = yield* started
          yield* client.disappear
          return name
        })
      yield* visit("/kept")
      yield* visit("/route")
      assert.strictEqual(yield* ended, "route interrupted")
      yield* visit("/other")
      assert.strictEqual(yield* ended, "bare interrupted")
      const end = yield* server.stop
      yield* Deferred.succeed(go, void 0)
      assert.strictEqual(yield* ended, "kept finished")
      assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
    }))

  it.scopedLive("a client that disappears in the middle of an answer leaves nothing behind", () =>
    Effect.gen(function*() {
      const closed = yield* Queue.unbounded<void>()
      const server = yield* serving(Effect.gen(function*() {
        yield* Effect.addFinalizer(() => closed.offer(void 0))
        const { url } = yield* HttpServerRequest.HttpServerRequest
        return url === "/stream"
          ? HttpServerResponse.stream(Stream.repeatValue(new Uint8Array(100_000)))
          : HttpServerResponse.uint8Array(new Uint8Array(50_000_000))
      }))
      for (const path of ["/stream", "/large"]) {
        const client = yield* connect(server.port)
        yield* client.send(get(path))
        yield* client.until(/200 OK/)
        yield* client.disappear
        yield* closed
      }
      // On some Nodes the connection is gone only after the drain has begun: then they are finished in it.
      const { cut, outcome } = yield* (yield* server.stop)
      assert.deepStrictEqual([outcome, cut], ["Drained", 0])
    }))

  it.scopedLive("handlers whose client has gone end, also when they answer afterwards, and behind another one", () =>
    Effect.gen(function*() {
      const go = yield* Deferred.make<void>()
      const started = yield* Queue.unbounded<void>()
      const ended = yield* Queue.unbounded<void>()
      const server = yield* serving(
        Effect.gen(function*() {
          yield* Effect.addFinalizer(() => ended.offer(void 0))
          yield* started.offer(void 0)
          yield* Deferred.await(go)
          return HttpServerResponse.text("too late")
        }).pipe(Effect.uninterruptible),
        { idleLinger: "50 millis" }
      )
      const client = yield* connect(server.port)
      yield* client.send(get("/1") + get("/2"))
      yield* Queue.takeN(started, 2)
      yield* client.disappear
      const other = yield* connect(server.port)
      yield* other.send(get("/livez"))
      yield* other.until(/Running/)
      yield* Deferred.succeed(go, void 0)
      yield* Queue.takeN(ended, 2)
      assert.strictEqual((yield* (yield* server.stop)).outcome, "Drained")
    }))

  it.scopedLive("an upload that is broken off interrupts its handler", () =>
    Effect.gen(function*() {
      const started = yield* Effect.makeLatch()
      const ended = yield* Deferred.make<string>()
      const server = yield* serving(
        Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
          request.stream.pipe(Stream.tap(() => started.open), Stream.runDrain)).pipe(
            Effect.as(HttpServerResponse.empty()),
            Effect.orDie,
            Effect.onExit((exit) =>
              Deferred.succeed(ended, Exit.isSuccess(exit) ? "whole" : "broken off")
            )
          )
      )
      const client = yield* connect(server.port)
      yield* client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nhalf")
      yield* started.await
      yield* client.disappear
      assert.strictEqual(yield* Deferred.await(ended), "broken off")
    }))
})
