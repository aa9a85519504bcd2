import { HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Layer, Logger, Scope } from "effect"
import { createServer } from "node:http"
import * as Shutdown from "../../../src/core/Shutdown.js"
import * as TaskSupervisor from "../../../src/core/TaskSupervisor.js"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { connect, get, responses } from "../../fixtures/http/client.js"
import { anyPort, echo, portOf, serve, start, summarize } from "../../fixtures/http/serving.js"

const echoPath = Effect.map(HttpServerRequest.HttpServerRequest, ({ url }) => HttpServerResponse.text(url))

/** A server that listens and does not serve an app yet, in a scope of its own. */
const listenOnly = (options: HttpServer.DrainOptions = {}) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    const server = yield* Scope.extend(HttpServer.make(() => createServer(), { ...anyPort, ...options }), scope)
    return {
      port: portOf(server),
      serve: Scope.extend(server.serve(echoPath), scope)
    }
  })

const listenFailure = (options: HttpServer.Options) =>
  HttpServer.make(() => createServer(), options).pipe(Effect.scoped, Effect.flip)

/** Completes when the port refuses connections: the drain has begun, and with it every release that does not wait for it. */
const untilRefused = (port: number) =>
  Effect.scoped(Effect.map(connect(port), ({ socket }) => socket.remotePort === undefined)).pipe(
    Effect.repeat({ until: (refused) => refused })
  )

describe("HttpServer, while it starts", () => {
  it.scopedLive("requests that arrive before an app is served get their response when it is, in order", () =>
    Effect.gen(function*() {
      const server = yield* listenOnly()
      const client = yield* connect(server.port)
      yield* client.send(get("/1") + get("/2"))
      const body = yield* connect(server.port)
      yield* body.send("POST /3 HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
      const probe = yield* connect(server.port)
      yield* probe.send(get("/readyz"))
      yield* probe.until(/503 .*[^]*\{"state":"Starting"\}$/)
      assert.deepStrictEqual([client.received(), body.received()], ["", ""])
      yield* server.serve
      assert.deepStrictEqual(responses(yield* client.until(/\/2$/)), ["200 keep-alive /1", "200 keep-alive /2"])
      assert.match(yield* body.until(/\/3$/), /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200/)
    }))

  it.scopedLive("requests are held for startTimeout, and at most maxHeld at a time; more get a 503", () =>
    Effect.gen(function*() {
      const server = yield* listenOnly({ startTimeout: "200 millis", maxHeld: 1 })
      const held = yield* connect(server.port)
      yield* held.send(get("/held"))
      const probe = yield* connect(server.port)
      yield* probe.send(get("/livez"))
      yield* probe.until(/200 .*[^]*Starting/)
      const excess = yield* connect(server.port)
      yield* excess.send(get("/excess"))
      assert.match(yield* excess.closed, /^HTTP\/1.1 503 .*[^]*retry-after: 1/)
      assert.strictEqual(held.received(), "")
      assert.deepStrictEqual(responses(yield* held.closed), ["503 close"])
    }))

  it.scopedLive("a start that fails sends held requests a 503, and closes every socket", () =>
    Effect.gen(function*() {
      const listening = yield* Deferred.make<number>()
      const fail = yield* Deferred.make<never, string>()
      const layer = Layer.effectDiscard(Effect.gen(function*() {
        yield* Deferred.succeed(listening, portOf(yield* HttpServer.HttpServer))
        return yield* Deferred.await(fail)
      })).pipe(Layer.provide(HttpServer.layer(() => createServer(), { ...anyPort, idleLinger: "100 millis" })))
      const building = yield* Effect.fork(Effect.scoped(Layer.build(layer)))
      const port = yield* Deferred.await(listening)
      const unused = yield* connect(port)
      const held = yield* connect(port)
      yield* held.send(get("/"))
      const socket = yield* connect(port)
      yield* socket.send(get("/", "Connection: Upgrade", "Upgrade: websocket"))
      const probe = yield* connect(port)
      yield* probe.send(get("/livez"))
      yield* probe.until(/Starting/)
      yield* Deferred.fail(fail, "no database")
      assert.strictEqual(yield* Effect.flip(building), "no database")
      assert.deepStrictEqual(responses(yield* held.closed), ["503 close"])
      assert.deepStrictEqual(responses(yield* socket.closed), ["503 close"])
      assert.strictEqual(yield* unused.closed, "")
      yield* probe.closed
    }))

  it.scopedLive("a port in use fails with one line that says where, why, and what to do", () =>
    Effect.gen(function*() {
      const { port } = yield* listenOnly()
      const lines: Array<unknown> = []
      const logger = Logger.make(({ message }) => void lines.push(message))
      const error = yield* listenFailure({ host: "127.0.0.1", port }).pipe(
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

  it.effect("every other reason not to listen fails with one line", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        (yield* listenFailure({ host: "203.0.113.1", port: 3000 })).message,
        "Cannot listen on 203.0.113.1:3000: this machine has no such address. " +
          "Use 127.0.0.1, 0.0.0.0 or an address of one of its interfaces."
      )
      assert.strictEqual(
        (yield* listenFailure({ host: "127.0.0.1", port: 70_000 })).message,
        "Cannot listen on 127.0.0.1:70000: a port is a whole number from 0 to 65535."
      )
      assert.match(
        (yield* listenFailure({ path: "/no/such/folder/socket" })).message,
        /^Cannot listen on \/no\/such\/folder\/so/
      )
      assert.match((yield* listenFailure({ host: "no.such.host.invalid", port: 3000 })).message, /cannot be resolved/)
    }))

  it.scopedLive("an error of the Node server after it listens is logged, and ends nothing", () =>
    Effect.gen(function*() {
      const node = createServer()
      const logged = yield* Deferred.make<string>()
      const logger = Logger.make(({ message }) => Effect.runSync(Deferred.succeed(logged, String(message))))
      yield* HttpServer.make(() => node, anyPort).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      node.emit("error", new Error("too many open files"))
      assert.match(yield* Deferred.await(logged), /too many open files/)
    }))

  it.scopedLive("a server serves one app at a time, and the next one at the same address", () =>
    Effect.gen(function*() {
      const nodeServer = createServer()
      const server = yield* HttpServer.make(() => nodeServer, { ...anyPort, idleLinger: 0 })
      for (const name of ["first", "second"]) {
        yield* Effect.scoped(Effect.gen(function*() {
          yield* server.serve(Effect.succeed(HttpServerResponse.text(name)))
          const another = server.serve(Effect.succeed(HttpServerResponse.text("another")))
          assert.match(Cause.pretty(yield* Effect.sandbox(another).pipe(Effect.flip)), /one at a time/)
          const client = yield* connect(portOf(server))
          yield* client.send(get("/"))
          assert.deepStrictEqual(responses(yield* client.until(new RegExp(name))), [`200 keep-alive ${name}`])
        }))
        // Not by connecting: somewhere else on the machine the port may be in use again.
        assert.isFalse(nodeServer.listening)
        // A process that another thread starts may hold the address a moment longer.
        yield* Effect.scoped(Effect.flatMap(connect(portOf(server)), ({ closed }) => closed))
      }
    }))
})

describe("HttpServer, while it drains", () => {
  it.scopedLive("what handlers use is released after their requests, however layers are provided", () =>
    Effect.gen(function*() {
      class Pool extends Context.Tag("Pool")<Pool, { readonly open: () => boolean }>() {}
      const orders = (pool: Layer.Layer<Pool>, http: ReturnType<typeof HttpServer.layer>) => {
        const app = (proceed: Effect.Effect<void>) =>
          HttpServer.serve(Effect.gen(function*() {
            const pool = yield* Pool
            yield* proceed
            return HttpServerResponse.text(pool.open() ? "open" : "released")
          }))
        return [
          (proceed: Effect.Effect<void>) => app(proceed).pipe(Layer.provide(pool), Layer.provideMerge(http)),
          (proceed: Effect.Effect<void>) => app(proceed).pipe(Layer.provide([pool, http]), Layer.provideMerge(http)),
          (proceed: Effect.Effect<void>) => app(proceed).pipe(Layer.provideMerge(http), Layer.provide(pool))
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
        const proceed = yield* Deferred.make<void>()
        const http = HttpServer.layer(() => createServer(), { ...anyPort, idleLinger: 0 })
        const layer = orders(pool, http)[index]!(Effect.zipRight(started.open, Deferred.await(proceed)))
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(layer, scope)
        const port = portOf(Context.get(context, HttpServer.HttpServer))
        const client = yield* connect(port)
        yield* client.send(get("/"))
        yield* started.await
        const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* untilRefused(port)
        yield* Deferred.succeed(proceed, void 0)
        assert.deepStrictEqual(responses(yield* client.closed), ["200 close open"], `order ${index}`)
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
      const server = yield* start(
        HttpServer.serve(Effect.map(app, HttpServerResponse.text)).pipe(
          Layer.provideMerge(Layer.orDie(HttpServer.layer(create, { ...anyPort, stallTimeout: "8 seconds" })))
        )
      )
      const head = yield* connect(server.port)
      yield* head.send("GET / HTTP/1.1\r\nHo")
      const body = yield* connect(server.port)
      yield* body.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf")
      const drained = yield* server.beginDrain
      for (const client of [head, body]) assert.deepStrictEqual(responses(yield* client.closed), ["408 close"])
      assert.strictEqual((yield* drained).outcome, "Drained")
    }))

  it.scopedLive("requests are finished also when the server is released before its app", () =>
    Effect.gen(function*() {
      const { app, arrived, respond } = yield* echo
      const scope = yield* Scope.make()
      const server = yield* Scope.extend(HttpServer.make(() => createServer(), anyPort), scope)
      yield* server.serve(app)
      const client = yield* connect(portOf(server))
      yield* client.send(get("/slow"))
      yield* arrived()
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* untilRefused(portOf(server))
      yield* respond
      assert.deepStrictEqual(responses(yield* client.closed), ["200 close /slow"])
      yield* closing.await
    }))

  it.scopedLive("Shutdown.draining completes for handlers when their server drains, also without launch", () =>
    Effect.gen(function*() {
      const started = yield* Effect.makeLatch()
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        HttpServer.serve(
          Effect.as(Effect.zipRight(started.open, Shutdown.draining), HttpServerResponse.text("draining"))
        )
          .pipe(
            Layer.provideMerge(HttpServer.layer(() => createServer(), anyPort))
          ),
        scope
      )
      const client = yield* connect(portOf(Context.get(context, HttpServer.HttpServer)))
      yield* client.send(get("/"))
      yield* started.await
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(responses(yield* client.closed), ["200 close draining"])
    }))

  it.scopedLive("tasks that a handler forks are finished before anything they use is released, and reported", () =>
    Effect.gen(function*() {
      const journal: Array<string> = []
      const proceed = yield* Deferred.make<void>()
      class Mailer extends Context.Tag("Mailer")<Mailer, { readonly send: Effect.Effect<void> }>() {}
      const mailer = Layer.scoped(
        Mailer,
        Effect.as(Effect.addFinalizer(() => Effect.sync(() => journal.push("mailer released"))), {
          send: Effect.zipRight(Deferred.await(proceed), Effect.sync(() => void journal.push("sent")))
        })
      )
      const server = yield* start(
        HttpServer.serve(Effect.gen(function*() {
          const { send } = yield* Mailer
          yield* TaskSupervisor.fork(send)
          return HttpServerResponse.text("accepted")
        })).pipe(
          Layer.provide(mailer),
          Layer.provideMerge(Layer.orDie(HttpServer.layer(() => createServer(), anyPort)))
        )
      )
      const client = yield* connect(server.port)
      yield* client.send(get("/"))
      yield* client.until(/accepted/)
      const drained = yield* server.beginDrain
      yield* client.closed
      yield* Deferred.succeed(proceed, void 0)
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 0, cut: 0 })
      assert.deepStrictEqual(journal, ["sent", "mailer released"])
      const { resources } = yield* server.lifecycle.snapshot
      assert.deepStrictEqual(resources.map(({ name }) => name), ["http", "http tasks"])
    }))

  it.scopedLive("a request that arrives while the event loop is blocked gets its response, even if idleLinger expires meanwhile", () =>
    Effect.gen(function*() {
      const server = yield* serve(HttpServerResponse.text("answered"), { idleLinger: "50 millis" })
      const client = yield* connect(server.port)
      yield* client.send(get("/"))
      yield* client.until(/answered/)
      const drained = yield* server.beginDrain
      yield* Effect.sync(() => {
        client.socket.write(get("/"))
        for (const until = performance.now() + 200; performance.now() < until;);
      })
      assert.deepStrictEqual(responses(yield* client.closed), ["200 keep-alive answered", "200 close answered"])
      assert.deepStrictEqual(summarize(yield* drained), { outcome: "Drained", finished: 1, cut: 0 })
    }))

  it.scopedLive("finalizers of a request that run after its response are awaited", () =>
    Effect.gen(function*() {
      const journal: Array<string> = []
      const proceed = yield* Deferred.make<void>()
      const server = yield* serve(Effect.gen(function*() {
        yield* Effect.addFinalizer(() =>
          Effect.zipRight(Deferred.await(proceed), Effect.sync(() => void journal.push("finalized")))
        )
        return HttpServerResponse.text("answered")
      }))
      const client = yield* connect(server.port)
      yield* client.send(get("/"))
      yield* client.until(/answered/)
      const drained = yield* server.beginDrain
      yield* client.closed
      yield* Deferred.succeed(proceed, void 0)
      const report = yield* drained
      assert.deepStrictEqual([journal, summarize(report)], [["finalized"], { outcome: "Drained", finished: 1, cut: 0 }])
    }))
})
