import {
  HttpClient,
  HttpLayerRouter,
  HttpMiddleware,
  HttpRouter,
  HttpServerRequest,
  HttpServerResponse
} from "@effect/platform"
import type { Etag, HttpPlatform, HttpServerError } from "@effect/platform"
import type * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Platform from "@effect/platform/HttpServer"
import { assert, describe, it } from "@effect/vitest"
import {
  Config,
  type ConfigError,
  ConfigProvider,
  Context,
  Deferred,
  Effect,
  Exit,
  Layer,
  Logger,
  Queue,
  type Scope,
  Stream
} from "effect"
import { createServer } from "node:http"
import { createServer as createSecureServer } from "node:https"
import { expectTypeOf } from "vitest"
import { draining } from "../../../src/core/Shutdown.js"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { certificate, key } from "../../fixtures/http/certificate.js"
import { connect, get, responses } from "../../fixtures/http/client.js"
import { anyPort, serve, start, summarize } from "../../fixtures/http/serving.js"

const serverLayer = Layer.orDie(HttpServer.layer(() => createServer(), { ...anyPort, idleLinger: "50 millis" }))

describe("HttpServer", () => {
  it.scopedLive("an app with middleware is served and drained, and its handler sees Shutdown.draining", () =>
    Effect.gen(function*() {
      const started = yield* Effect.makeLatch()
      const statuses: Array<number> = []
      const recordStatus = HttpMiddleware.make((app) =>
        Effect.tap(app, (response) => Effect.sync(() => statuses.push(response.status)))
      )
      const app = Effect.as(Effect.zipRight(started.open, draining), HttpServerResponse.text("draining"))
      const server = yield* start(Layer.provideMerge(HttpServer.serve(app, recordStatus), serverLayer))
      const client = yield* connect(server.port)
      yield* client.send(get("/"))
      yield* started.await
      const report = yield* (yield* server.beginDrain)
      assert.deepStrictEqual(responses(yield* client.closed), ["200 close draining"])
      assert.deepStrictEqual(summarize(report), { outcome: "Drained", finished: 1, cut: 0 })
      assert.deepStrictEqual(statuses, [200])
    }))

  it.scopedLive("a stream that a middleware interrupts does not look complete", () =>
    Effect.gen(function*() {
      const rows = Stream.concat(Stream.make(new TextEncoder().encode("row")), Stream.never)
      const withTimeout = HttpMiddleware.make((app) => Effect.timeout(app, "100 millis"))
      const app = HttpServer.serve(Effect.succeed(HttpServerResponse.stream(rows)), withTimeout)
      const server = yield* start(Layer.provideMerge(app, serverLayer))
      const client = yield* connect(server.port)
      yield* client.send(get("/"))
      assert.match(yield* client.closed, /row\r\n$/)
    }))

  it.scopedLive("layerConfig reads its options from a Config, and layerTest provides a client", () =>
    Effect.gen(function*() {
      const layer = HttpServer.layerConfig(() => createServer(), {
        port: Config.integer("PORT"),
        host: Config.succeed("127.0.0.1"),
        drainTimeout: Config.duration("DRAIN")
      })
      const provider = ConfigProvider.fromMap(new Map([["PORT", "0"], ["DRAIN", "3 seconds"]]))
      const context = yield* Layer.build(layer).pipe(Effect.withConfigProvider(provider))
      assert.strictEqual(Context.get(context, HttpServer.HttpServer).address._tag, "TcpAddress")
      const body = yield* Effect.gen(function*() {
        yield* HttpServer.serveEffect(Effect.succeed(HttpServerResponse.text("hello")))
        return yield* Effect.flatMap(HttpClient.get("/"), (response) => response.text)
      }).pipe(Effect.provide(HttpServer.layerTest))
      assert.strictEqual(body, "hello")
    }))

  it.scopedLive("a TLS connection without a handshake is closed after idleLinger", () =>
    Effect.gen(function*() {
      const app = HttpServer.serve(Effect.succeed(HttpServerResponse.empty()))
      const server = yield* start(
        Layer.provideMerge(
          app,
          Layer.orDie(
            HttpServer.layer(() => createSecureServer({ key, cert: certificate }), {
              ...anyPort,
              idleLinger: "50 millis"
            })
          )
        )
      )
      const unused = yield* connect(server.port)
      const secure = yield* connect({ port: server.port, tls: true })
      yield* secure.send(get("/livez"))
      yield* secure.until(/204 No Content/)
      const drained = yield* server.beginDrain
      yield* Effect.all([unused.closed, secure.closed])
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 0, cut: 0 })
    }))

  it.scopedLive("a thousand idle connections do not delay a drain", () =>
    Effect.gen(function*() {
      const server = yield* serve(Effect.succeed(HttpServerResponse.empty()), { idleLinger: "100 millis" })
      const clients = yield* Effect.replicateEffect(connect(server.port), 1000)
      yield* clients.at(-1)!.send(get("/livez"))
      yield* clients.at(-1)!.until(/204 No Content/)
      const report = yield* (yield* server.beginDrain)
      yield* Effect.forEach(clients, (client) => client.closed)
      assert.deepStrictEqual(summarize(report), { outcome: "Drained", finished: 0, cut: 0 })
    }))

  it("has the exports of @effect/platform's HttpServer, except those that differ on purpose", () => {
    const ours: Record<string, unknown> = HttpServer
    const differing = Object.entries(Platform).filter(([name, value]) => ours[name] !== value).map(([name]) => name)
    assert.deepStrictEqual(differing.sort(), ["layerContext", "logAddress", "make", "withLogAddress"])
    assert.isTrue(differing.every((name) => name in HttpServer))
  })

  it("has the exports of NodeHttpServer, under the same names", () => {
    assert.deepStrictEqual(Object.keys(NodeHttpServer).filter((name) => !(name in HttpServer)), [])
    assert.strictEqual(HttpServer.makeHandler, NodeHttpServer.makeHandler)
  })

  it.scopedLive("an app logs the address once, however it does so, and no layer does it by itself", () =>
    Effect.gen(function*() {
      const routes = HttpRouter.empty.pipe(HttpRouter.get("/", HttpServerResponse.empty()))
      const server = HttpServer.layer(() => createServer(), { host: "::1", port: 0 })
      const served = HttpServer.serve(routes)
      const apps: ReadonlyArray<typeof served> = [
        served,
        Platform.withLogAddress(served),
        HttpLayerRouter.serve(HttpLayerRouter.add("GET", "/", HttpServerResponse.empty())),
        HttpServer.withLogAddress(served),
        Layer.merge(served, Layer.effectDiscard(HttpServer.logAddress))
      ]
      const lines = yield* Effect.forEach(apps, (app) => {
        const lines: Array<string> = []
        const logger = Logger.make(({ message }) => void lines.push(String(message).replace(/\d+$/, "n")))
        return Layer.build(app).pipe(
          Effect.provide(Layer.provideMerge(server, Logger.replace(Logger.defaultLogger, logger))),
          Effect.as(lines)
        )
      })
      const [platforms, ours] = ["Listening on http://::1:n", "listening on http://[::1]:n"]
      assert.deepStrictEqual(lines, [[], [platforms], [platforms], [ours], [ours]])
    }))

  it("has types that take the place of NodeHttpServer's", () => {
    type Services = HttpServer.HttpServer | HttpPlatform.HttpPlatform | Etag.Generator | NodeContext.NodeContext
    expectTypeOf(HttpServer.layer).parameters.toEqualTypeOf<[() => HttpServer.NodeServer, HttpServer.Options]>()
    expectTypeOf(HttpServer.layer).returns.toEqualTypeOf<Layer.Layer<Services, HttpServerError.ServeError>>()
    expectTypeOf(HttpServer.layerConfig).parameters.toEqualTypeOf<
      [() => HttpServer.NodeServer, Config.Config.Wrap<HttpServer.Options>]
    >()
    expectTypeOf(HttpServer.layerConfig).returns.toEqualTypeOf<
      Layer.Layer<Services, ConfigError.ConfigError | HttpServerError.ServeError>
    >()
    expectTypeOf(HttpServer.make).returns.toEqualTypeOf<
      Effect.Effect<HttpServer.HttpServer, HttpServerError.ServeError, Scope.Scope>
    >()
    expectTypeOf(HttpServer.layerTest).toEqualTypeOf<
      Layer.Layer<Services | HttpClient.HttpClient, HttpServerError.ServeError>
    >()
    expectTypeOf(createServer).toMatchTypeOf<() => HttpServer.NodeServer>()
    expectTypeOf<HttpServer.HttpServer>().toEqualTypeOf<Platform.HttpServer>()
    const app = HttpServer.serve(Effect.as(Effect.fail("error" as const), HttpServerResponse.empty()))
    expectTypeOf(app).toEqualTypeOf<Layer.Layer<never, never, HttpServer.HttpServer>>()
  })
})

describe("HttpServer, when clients disconnect", () => {
  it.scopedLive("a client that disconnects interrupts its handler, except that of an uninterruptible route", () =>
    Effect.gen(function*() {
      const started = yield* Queue.unbounded<string>()
      const ended = yield* Queue.unbounded<string>()
      const proceed = yield* Deferred.make<void>()
      const wait = (name: string) =>
        Effect.zipRight(started.offer(name), Deferred.await(proceed)).pipe(
          Effect.onExit((exit) => ended.offer(`${name} ${Exit.isInterrupted(exit) ? "interrupted" : "finished"}`)),
          Effect.as(HttpServerResponse.text(name))
        )
      const router = HttpRouter.empty.pipe(
        HttpRouter.get("/route", wait("route")),
        HttpRouter.get("/uninterruptible", wait("uninterruptible"), { uninterruptible: true }),
        Effect.catchTag("RouteNotFound", () => wait("no route"))
      )
      const server = yield* serve(router)
      const visit = (path: string) =>
        Effect.gen(function*() {
          const client = yield* connect(server.port)
          yield* client.send(get(path))
          const name = yield* started
          yield* client.reset
          return name
        })
      yield* visit("/uninterruptible")
      yield* visit("/route")
      assert.strictEqual(yield* ended, "route interrupted")
      yield* visit("/other")
      assert.strictEqual(yield* ended, "no route interrupted")
      const drained = yield* server.beginDrain
      yield* Deferred.succeed(proceed, void 0)
      assert.strictEqual(yield* ended, "uninterruptible finished")
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
    }))

  it.scopedLive("a client that disconnects during its response leaves nothing behind", () =>
    Effect.gen(function*() {
      const closed = yield* Queue.unbounded<void>()
      const server = yield* serve(Effect.gen(function*() {
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
        yield* client.reset
        yield* closed
      }
      // Some versions of Node notice the disconnect only after the drain has begun: then the drain counts the requests.
      const { cut, outcome } = yield* (yield* server.beginDrain)
      assert.deepStrictEqual([outcome, cut], ["Drained", 0])
    }))

  it.scopedLive("handlers that respond after their client has disconnected exit, also those of pipelined requests", () =>
    Effect.gen(function*() {
      const proceed = yield* Deferred.make<void>()
      const started = yield* Queue.unbounded<void>()
      const ended = yield* Queue.unbounded<void>()
      const server = yield* serve(
        Effect.gen(function*() {
          const { url } = yield* HttpServerRequest.HttpServerRequest
          if (url === "/other") return HttpServerResponse.text(url)
          yield* Effect.addFinalizer(() => ended.offer(void 0))
          yield* started.offer(void 0)
          yield* Deferred.await(proceed)
          return HttpServerResponse.text("too late")
        }).pipe(Effect.uninterruptible),
        { idleLinger: "50 millis" }
      )
      const client = yield* connect(server.port)
      yield* client.send(get("/1") + get("/2"))
      yield* Queue.takeN(started, 2)
      yield* client.reset
      const other = yield* connect(server.port)
      yield* other.send(get("/other"))
      yield* other.until(/other$/)
      yield* Deferred.succeed(proceed, void 0)
      yield* Queue.takeN(ended, 2)
      assert.strictEqual((yield* (yield* server.beginDrain)).outcome, "Drained")
    }))

  it.scopedLive("an upload that its client aborts interrupts the handler", () =>
    Effect.gen(function*() {
      const started = yield* Effect.makeLatch()
      const ended = yield* Deferred.make<string>()
      const server = yield* serve(
        Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
          request.stream.pipe(Stream.tap(() => started.open), Stream.runDrain)).pipe(
            Effect.as(HttpServerResponse.empty()),
            Effect.orDie,
            Effect.onExit((exit) =>
              Deferred.succeed(ended, Exit.isSuccess(exit) ? "complete" : "aborted")
            )
          )
      )
      const client = yield* connect(server.port)
      yield* client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nhalf")
      yield* started.await
      yield* client.reset
      assert.strictEqual(yield* Deferred.await(ended), "aborted")
    }))
})
