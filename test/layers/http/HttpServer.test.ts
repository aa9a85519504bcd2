import { HttpClient, HttpMiddleware, HttpServer as Platform, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Context, Effect, Layer } from "effect"
import { createServer } from "node:http"
import { createServer as createSecureServer } from "node:https"
import { draining } from "../../../src/core/Shutdown.js"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { certificate, key } from "../../fixtures/http/certificate.js"
import { answers, connect, get } from "../../fixtures/http/client.js"
import { free, gist, serving, started } from "../../fixtures/http/serving.js"

const server = Layer.orDie(HttpServer.layer(() => createServer(), { ...free, idleLinger: "50 millis" }))

describe("HttpServer, in the place of NodeHttpServer", () => {
  it.scopedLive("an app with middleware is served, told that its server drains, and drained", () =>
    Effect.gen(function*() {
      const arrived = yield* Effect.makeLatch()
      const seen: Array<number> = []
      const watch = HttpMiddleware.make((app) =>
        Effect.tap(app, (response) => Effect.sync(() => seen.push(response.status)))
      )
      const app = Effect.as(Effect.zipRight(arrived.open, draining), HttpServerResponse.text("told"))
      const running = yield* started(Layer.provideMerge(Platform.serve(app, watch), server))
      const client = yield* connect(running.port)
      yield* client.send(get("/"))
      yield* arrived.await
      const report = yield* (yield* running.stop)
      assert.deepStrictEqual(answers(yield* client.closed), ["200 close told"])
      assert.deepStrictEqual(gist(report), { outcome: "Drained", finished: 1, cut: 0 })
      assert.deepStrictEqual(seen, [200])
    }))

  it.scopedLive("layerConfig reads where to listen and how to wait, and layerTest has a client", () =>
    Effect.gen(function*() {
      const layer = HttpServer.layerConfig(() => createServer(), {
        port: Config.integer("PORT"),
        host: Config.succeed("127.0.0.1"),
        drainTimeout: Config.duration("DRAIN")
      })
      const provider = ConfigProvider.fromMap(new Map([["PORT", "0"], ["DRAIN", "3 seconds"]]))
      const context = yield* Layer.build(layer).pipe(Effect.withConfigProvider(provider))
      assert.strictEqual(Context.get(context, Platform.HttpServer).address._tag, "TcpAddress")
      const body = yield* Effect.gen(function*() {
        yield* Platform.serveEffect(Effect.succeed(HttpServerResponse.text("hello")))
        return yield* Effect.flatMap(HttpClient.get("/"), (response) => response.text)
      }).pipe(Effect.provide(HttpServer.layerTest))
      assert.strictEqual(body, "hello")
    }))

  it.scopedLive("a TLS connection whose handshake has not begun is closed as a silent one", () =>
    Effect.gen(function*() {
      const app = Platform.serve(Effect.succeed(HttpServerResponse.empty()))
      const running = yield* started(
        Layer.provideMerge(
          app,
          Layer.orDie(
            HttpServer.layer(() => createSecureServer({ key, cert: certificate }), { ...free, idleLinger: "50 millis" })
          )
        )
      )
      const silent = yield* connect(running.port)
      const secure = yield* connect({ port: running.port, tls: true })
      yield* secure.send(get("/livez"))
      yield* secure.until(/Running/)
      const end = yield* running.stop
      yield* Effect.all([silent.closed, secure.closed])
      assert.deepStrictEqual(gist(yield* end), { outcome: "Drained", finished: 0, cut: 0 })
    }))

  it.scopedLive("a thousand connections that are idle cost a drain nothing", () =>
    Effect.gen(function*() {
      const app = yield* serving(Effect.succeed(HttpServerResponse.empty()), { idleLinger: "100 millis" })
      const clients = yield* Effect.replicateEffect(connect(app.port), 1000)
      yield* clients.at(-1)!.send(get("/livez"))
      yield* clients.at(-1)!.until(/Running/)
      const report = yield* (yield* app.stop)
      yield* Effect.forEach(clients, (client) => client.closed)
      assert.deepStrictEqual(gist(report), { outcome: "Drained", finished: 0, cut: 0 })
    }))
})
