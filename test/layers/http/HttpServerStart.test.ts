import { HttpServer as Platform, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Layer, Logger, Scope } from "effect"
import { createServer } from "node:http"
import * as Lifecycle from "../../../src/core/Lifecycle.js"
import { Shutdown } from "../../../src/core/Shutdown.js"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { answers, connect, get } from "../../fixtures/http/client.js"
import { free, serving } from "../../fixtures/http/serving.js"

const portOf = (server: Platform.HttpServer) => server.address._tag === "TcpAddress" ? server.address.port : 0

const hello = Effect.map(HttpServerRequest.HttpServerRequest, ({ url }) => HttpServerResponse.text(url))

/** A server that listens and has no app yet, in a scope of its own. */
const listening = (options: HttpServer.DrainOptions = {}) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    const server = yield* Scope.extend(HttpServer.make(() => createServer(), { ...free, ...options }), scope)
    return {
      port: portOf(server),
      serve: Scope.extend(server.serve(hello), scope),
      close: Scope.close(scope, Exit.void)
    }
  })

const failure = (options: HttpServer.Options) =>
  HttpServer.make(() => createServer(), options).pipe(Effect.scoped, Effect.flip)

describe("HttpServer, starting", () => {
  it.scopedLive("requests that come before the app is ready are answered when it is, in their order", () =>
    Effect.gen(function*() {
      const server = yield* listening()
      const client = yield* connect(server.port)
      yield* client.send(get("/1") + get("/2"))
      const body = yield* connect(server.port)
      yield* body.send("POST /3 HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
      const probe = yield* connect(server.port)
      yield* probe.send(get("/readyz"))
      yield* probe.until(/503 .*[^]*\{"state":"Starting"\}$/)
      assert.deepStrictEqual([client.received(), body.received()], ["", ""])
      yield* server.serve
      assert.deepStrictEqual(answers(yield* client.until(/\/2$/)), ["200 keep-alive /1", "200 keep-alive /2"])
      assert.match(yield* body.until(/\/3$/), /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200/)
    }))

  it.scopedLive("requests are held for startTimeout, and no more than maxHeld at a time; the rest gets 503", () =>
    Effect.gen(function*() {
      const server = yield* listening({ startTimeout: "200 millis", maxHeld: 1 })
      const held = yield* connect(server.port)
      yield* held.send(get("/held"))
      const probe = yield* connect(server.port)
      yield* probe.send(get("/livez"))
      yield* probe.until(/200 .*[^]*Starting/)
      const surplus = yield* connect(server.port)
      yield* surplus.send(get("/surplus"))
      assert.match(yield* surplus.closed, /^HTTP\/1.1 503 .*[^]*retry-after: 1/)
      assert.strictEqual(held.received(), "")
      assert.deepStrictEqual(answers(yield* held.closed), ["503 close"])
    }))

  it.scopedLive("a start that fails answers what was held with 503 and leaves no socket", () =>
    Effect.gen(function*() {
      const asked = yield* Deferred.make<number>()
      const fail = yield* Deferred.make<never, string>()
      const layer = Layer.effectDiscard(Effect.gen(function*() {
        yield* Deferred.succeed(asked, portOf(yield* Platform.HttpServer))
        yield* Deferred.await(fail)
      })).pipe(Layer.provide(HttpServer.layer(() => createServer(), { ...free, idleLinger: "100 millis" })))
      const building = yield* Effect.fork(Effect.scoped(Layer.build(layer)))
      const port = yield* Deferred.await(asked)
      const silent = yield* connect(port)
      const held = yield* connect(port)
      yield* held.send(get("/"))
      const socket = yield* connect(port)
      yield* socket.send(get("/", "Connection: Upgrade", "Upgrade: websocket"))
      const probe = yield* connect(port)
      yield* probe.send(get("/livez"))
      yield* probe.until(/Starting/)
      yield* Deferred.fail(fail, "no database")
      assert.strictEqual(yield* Effect.flip(building), "no database")
      assert.deepStrictEqual(answers(yield* held.closed), ["503 close"])
      assert.deepStrictEqual(answers(yield* socket.closed), ["503 close"])
      assert.strictEqual(yield* silent.closed, "")
      yield* probe.closed
    }))

  it.scopedLive("a port in use is one line that says where and what to do", () =>
    Effect.gen(function*() {
      const { port } = yield* listening()
      const lines: Array<unknown> = []
      const logger = Logger.make(({ message }) => void lines.push(message))
      const error = yield* failure({ host: "127.0.0.1", port }).pipe(
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      assert.deepStrictEqual(lines, [])
      assert.strictEqual(error._tag, "ServeError")
      assert.strictEqual(
        error.message,
        `Cannot listen on 127.0.0.1:${port}: it is in use. Stop what listens there, or choose another port.`
      )
      assert.strictEqual(Cause.prettyErrors(Cause.fail(error))[0]?.message, error.message)
    }))

  it.effect("an address that cannot be listened on is said in one line", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        (yield* failure({ host: "203.0.113.1", port: 3000 })).message,
        "Cannot listen on 203.0.113.1:3000: this machine has no such address. " +
          "Use 127.0.0.1, 0.0.0.0 or an address of one of its interfaces."
      )
      assert.strictEqual(
        (yield* failure({ host: "127.0.0.1", port: 70_000 })).message,
        "Cannot listen on 127.0.0.1:70000: a port is a whole number from 0 to 65535."
      )
      assert.match(
        (yield* failure({ path: "/no/such/folder/socket" })).message,
        /^Cannot listen on \/no\/such\/folder\/so/
      )
      assert.match((yield* failure({ host: "no.such.host.invalid", port: 3000 })).message, /cannot be resolved/)
    }))

  it.scopedLive("the layer says where it listens", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => void lines.push(String(message)))
      const context = yield* Layer.build(HttpServer.layer(() => createServer(), free)).pipe(
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      assert.deepStrictEqual(lines, [
        `listening on http://127.0.0.1:${portOf(Context.get(context, Platform.HttpServer))}`
      ])
    }))

  it.scopedLive("a late error of the server is logged and ends nothing", () =>
    Effect.gen(function*() {
      const node = createServer()
      const logged = yield* Deferred.make<string>()
      const logger = Logger.make(({ message }) => Effect.runSync(Deferred.succeed(logged, String(message))))
      yield* HttpServer.make(() => node, free).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      node.emit("error", new Error("too many open files"))
      assert.match(yield* Deferred.await(logged), /too many open files/)
    }))

  it.scopedLive("a server serves one app at a time, and one after another, at the same address", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make(() => createServer(), { ...free, idleLinger: 0 })
      for (const name of ["first", "second"]) {
        yield* Effect.scoped(Effect.gen(function*() {
          yield* server.serve(Effect.succeed(HttpServerResponse.text(name)))
          const another = server.serve(Effect.succeed(HttpServerResponse.text("another")))
          assert.match(Cause.pretty(yield* Effect.sandbox(another).pipe(Effect.flip)), /one at a time/)
          const client = yield* connect(portOf(server))
          yield* client.send(get("/"))
          assert.deepStrictEqual(answers(yield* client.until(new RegExp(name))), [`200 keep-alive ${name}`])
        }))
        assert.notStrictEqual((yield* connect(portOf(server))).socket.readyState, "open")
      }
    }))
})

describe("HttpServer, probed", () => {
  it.scopedLive("is alive in every state, and ready only while it runs", () =>
    Effect.gen(function*() {
      const { port, ...server } = yield* serving(hello)
      const probe = (path: string) =>
        Effect.scoped(Effect.gen(function*() {
          const client = yield* connect(port)
          yield* client.send(get(path, "Connection: close"))
          return yield* client.closed
        })).pipe(Effect.map(answers), Effect.map(([answer]) => answer!.replace("close ", "")))
      const both = Effect.all([probe("/livez"), probe("/readyz?verbose=1")])
      assert.deepStrictEqual(yield* both, [`200 {"state":"Running"}`, `200 {"state":"Running"}`])
      yield* server.to("LameDuck")
      assert.deepStrictEqual(yield* both, [`200 {"state":"LameDuck"}`, `503 {"state":"LameDuck"}`])
      assert.deepStrictEqual(yield* probe("/livezoo"), "200 /livezoo")
    }))

  it.scopedLive("a kept connection's probes say not ready during the drain, and are no work in the report", () =>
    Effect.gen(function*() {
      const server = yield* serving(hello, { idleLinger: "1 seconds" })
      const client = yield* connect(server.port)
      yield* client.send(get("/livez"))
      yield* client.until(/Running/)
      const end = yield* server.stop
      yield* client.send(get("/readyz"))
      assert.deepStrictEqual(answers(yield* client.closed)[1], `503 close {"state":"Draining"}`)
      assert.strictEqual((yield* end).finished, 0)
    }))

  it.scopedLive("without launch it is ready when it serves", () =>
    Effect.gen(function*() {
      const server = yield* listening()
      const client = yield* connect(server.port)
      yield* client.send(get("/readyz"))
      yield* client.until(/503[^]*Starting/)
      yield* server.serve
      yield* client.send(get("/readyz"))
      yield* client.until(/200[^]*Running/)
    }))

  it.scopedLive("probes can have other paths, or be the app's own", () =>
    Effect.gen(function*() {
      const moved = yield* serving(hello, { probes: { livez: "/alive", readyz: false } })
      const client = yield* connect(moved.port)
      yield* client.send(get("/alive") + get("/readyz") + get("/livez"))
      assert.deepStrictEqual(answers(yield* client.until(/\/livez$/)), [
        `200 keep-alive {"state":"Running"}`,
        "200 keep-alive /readyz",
        "200 keep-alive /livez"
      ])
      const none = yield* serving(hello, { probes: false })
      const other = yield* connect(none.port)
      yield* other.send(get("/livez"))
      yield* other.until(/\/livez$/)
    }))

  it.scopedLive("under launch it is not ready before everything is", () =>
    Effect.gen(function*() {
      const lifecycle = yield* Lifecycle.make()
      const server = yield* HttpServer.make(() => createServer(), free).pipe(
        Effect.tap((server) => server.serve(hello)),
        Effect.provideService(Shutdown, lifecycle.shutdown)
      )
      const client = yield* connect(portOf(server))
      yield* client.send(get("/readyz"))
      yield* client.until(/503[^]*Starting/)
      yield* lifecycle.transition("Running")
      yield* client.send(get("/readyz"))
      yield* client.until(/200[^]*Running/)
    }))
})
