import { HttpServer as Platform, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Layer, Scope } from "effect"
import { createServer } from "node:http"
import * as Shutdown from "../../../src/core/Shutdown.js"
import * as TaskSupervisor from "../../../src/core/TaskSupervisor.js"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { echo } from "../../conformance/http/shape.js"
import { answers, connect, get } from "../../fixtures/http/client.js"
import { free, gist, serving, started } from "../../fixtures/http/serving.js"

/** Completes when the port refuses: the drain has begun, and with it every release that does not wait for it. */
const refused = (port: number) =>
  Effect.scoped(Effect.map(connect(port), ({ socket }) => socket.remotePort === undefined)).pipe(
    Effect.repeat({ until: (refused) => refused })
  )

describe("HttpServer, draining", () => {
  it.scopedLive("a resource of the handlers outlives their requests, however provide was stacked", () =>
    Effect.gen(function*() {
      class Pool extends Context.Tag("Pool")<Pool, { readonly open: () => boolean }>() {}
      const orders = (pool: Layer.Layer<Pool>, http: ReturnType<typeof HttpServer.layer>) => {
        const app = (go: Effect.Effect<void>) =>
          Platform.serve(Effect.gen(function*() {
            const pool = yield* Pool
            yield* go
            return HttpServerResponse.text(pool.open() ? "open" : "released")
          }))
        return [
          (go: Effect.Effect<void>) => app(go).pipe(Layer.provide(pool), Layer.provideMerge(http)),
          (go: Effect.Effect<void>) => app(go).pipe(Layer.provide([pool, http]), Layer.provideMerge(http)),
          (go: Effect.Effect<void>) => app(go).pipe(Layer.provideMerge(http), Layer.provide(pool))
        ]
      }
      for (const index of [0, 1, 2]) {
        const pool = Layer.scoped(
          Pool,
          Effect.map(
            Effect.acquireRelease(Effect.sync(() => ({ open: true })), (_) => Effect.sync(() => void (_.open = false))),
            (_) => ({ open: () => _.open })
          )
        )
        const started = yield* Effect.makeLatch()
        const go = yield* Deferred.make<void>()
        const http = HttpServer.layer(() => createServer(), { ...free, idleLinger: 0 })
        const layer = orders(pool, http)[index]!(Effect.zipRight(started.open, Deferred.await(go)))
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(layer, scope)
        const { address } = Context.get(context, Platform.HttpServer)
        const client = yield* connect(address._tag === "TcpAddress" ? address.port : 0)
        yield* client.send(get("/"))
        yield* started.await
        const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* refused((address as Platform.TcpAddress).port)
        yield* Deferred.succeed(go, void 0)
        assert.deepStrictEqual(answers(yield* client.closed), ["200 close open"], `order ${index}`)
        yield* closing.await
      }
    }))

  it.scopedLive("Node's own timeouts are enforced during the drain", () =>
    Effect.gen(function*() {
      const create = () =>
        createServer({
          headersTimeout: 300,
          requestTimeout: 600,
          keepAliveTimeout: 300,
          connectionsCheckingInterval: 30
        })
      const app = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => request.text)
      const server = yield* started(
        Platform.serve(Effect.map(app, HttpServerResponse.text)).pipe(
          Layer.provideMerge(Layer.orDie(HttpServer.layer(create, { ...free, stallTimeout: "8 seconds" })))
        )
      )
      const head = yield* connect(server.port)
      yield* head.send("GET / HTTP/1.1\r\nHo")
      const body = yield* connect(server.port)
      yield* body.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf")
      const end = yield* server.stop
      for (const client of [head, body]) assert.deepStrictEqual(answers(yield* client.closed), ["408 close"])
      assert.strictEqual((yield* end).outcome, "Drained")
    }))

  it.scopedLive("requests are finished too where the server is released before the app that it serves", () =>
    Effect.gen(function*() {
      const { app, go, started } = yield* echo
      const scope = yield* Scope.make()
      const server = yield* Scope.extend(HttpServer.make(() => createServer(), free), scope)
      yield* server.serve(app)
      const client = yield* connect((server.address as Platform.TcpAddress).port)
      yield* client.send(get("/slow"))
      yield* started()
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* refused((server.address as Platform.TcpAddress).port)
      yield* go
      assert.deepStrictEqual(answers(yield* client.closed), ["200 close /slow"])
      yield* closing.await
    }))

  it.scopedLive("handlers are told by Shutdown.draining that their server drains, also where nothing was launched", () =>
    Effect.gen(function*() {
      const started = yield* Effect.makeLatch()
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        Platform.serve(Effect.as(Effect.zipRight(started.open, Shutdown.draining), HttpServerResponse.text("told")))
          .pipe(
            Layer.provideMerge(HttpServer.layer(() => createServer(), free))
          ),
        scope
      )
      const client = yield* connect((Context.get(context, Platform.HttpServer).address as Platform.TcpAddress).port)
      yield* client.send(get("/"))
      yield* started.await
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(answers(yield* client.closed), ["200 close told"])
    }))

  it.scopedLive("work that a handler leaves behind is finished before what it uses is released, and reported", () =>
    Effect.gen(function*() {
      const journal: Array<string> = []
      const go = yield* Deferred.make<void>()
      class Mailer extends Context.Tag("Mailer")<Mailer, { readonly send: Effect.Effect<void> }>() {}
      const mailer = Layer.scoped(
        Mailer,
        Effect.as(Effect.addFinalizer(() => Effect.sync(() => journal.push("mailer released"))), {
          send: Effect.zipRight(Deferred.await(go), Effect.sync(() => void journal.push("sent")))
        })
      )
      const server = yield* started(
        Platform.serve(Effect.gen(function*() {
          const { send } = yield* Mailer
          yield* TaskSupervisor.fork(send)
          return HttpServerResponse.text("accepted")
        })).pipe(
          Layer.provide(mailer),
          Layer.provideMerge(Layer.orDie(HttpServer.layer(() => createServer(), free)))
        )
      )
      const client = yield* connect(server.port)
      yield* client.send(get("/"))
      yield* client.until(/accepted/)
      const end = yield* server.stop
      yield* client.closed
      yield* Deferred.succeed(go, void 0)
      assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 0, cut: 0 })
      assert.deepStrictEqual(journal, ["sent", "mailer released"])
      const { resources } = yield* server.lifecycle.snapshot
      assert.deepStrictEqual(resources.map(({ name }) => name), ["http", "http tasks"])
    }))

  it.scopedLive("a request that came while the process stood still is answered, though the linger is over meanwhile", () =>
    Effect.gen(function*() {
      const server = yield* serving(HttpServerResponse.text("answered"), { idleLinger: "50 millis" })
      const client = yield* connect(server.port)
      yield* client.send(get("/"))
      yield* client.until(/answered/)
      const end = yield* server.stop
      yield* Effect.sync(() => {
        client.socket.write(get("/"))
        for (const until = performance.now() + 200; performance.now() < until;);
      })
      assert.deepStrictEqual(answers(yield* client.closed), ["200 keep-alive answered", "200 close answered"])
      assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 1, cut: 0 })
    }))

  it.scopedLive("finalizers of a request that run after its answer are waited for", () =>
    Effect.gen(function*() {
      const journal: Array<string> = []
      const go = yield* Deferred.make<void>()
      const server = yield* serving(Effect.gen(function*() {
        yield* Effect.addFinalizer(() =>
          Effect.zipRight(Deferred.await(go), Effect.sync(() => void journal.push("finalized")))
        )
        return HttpServerResponse.text("answered")
      }))
      const client = yield* connect(server.port)
      yield* client.send(get("/"))
      yield* client.until(/answered/)
      const end = yield* server.stop
      yield* client.closed
      yield* Deferred.succeed(go, void 0)
      const report = yield* end
      assert.deepStrictEqual([journal, gist(report)], [["finalized"], { outcome: "Drained", finished: 1, cut: 0 }])
    }))
})
