import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Queue, Scope } from "effect"
import { createServer, type Server } from "node:http"
import * as Http2 from "node:http2"
import { Server as SocketIoServer } from "socket.io"
import { io } from "socket.io-client"
import { WebSocket, WebSocketServer } from "ws"
import * as Lifecycle from "../../../src/core/Lifecycle.js"
import { Shutdown } from "../../../src/core/Shutdown.js"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { connect, get, responses } from "../../fixtures/http/client.js"
import { portOfServer } from "../../fixtures/http/drained.js"
import { foreignApps, type Responder } from "../../fixtures/http/foreignApps.js"
import { summarize } from "../../fixtures/http/serving.js"

const webSocket = get(
  "/",
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
)

/** Drains a server in a lifecycle of the test. */
const start = (
  make: (responder: Responder) => { readonly server: HttpServer.NodeServer; readonly listen: () => void },
  options: HttpServer.NodeServerDrainOptions = {}
) =>
  Effect.gen(function*() {
    const lifecycle = yield* Lifecycle.make({ gracePeriod: "20 seconds" })
    const arrivals = yield* Queue.unbounded<void>()
    const responding = yield* Deferred.make<void>()
    const slow = () => {
      arrivals.unsafeOffer(undefined)
      return Effect.runPromise(Deferred.await(responding))
    }
    const scope = yield* Scope.make()
    const { listen, server } = make({ slow })
    yield* HttpServer.drain(server, options).pipe(
      Effect.provideService(Shutdown, lifecycle.shutdown),
      Scope.extend(scope)
    )
    listen()
    const port = yield* portOfServer(server)
    yield* lifecycle.transition("Running")
    const report = Effect.gen(function*() {
      const { resources } = yield* lifecycle.snapshot
      return summarize(Option.getOrThrow(resources.find(({ name }) => name === "http")!.report))
    })
    return {
      port,
      arrived: Queue.take(arrivals),
      respond: Deferred.succeed(responding, void 0),
      lameDuck: Effect.zipRight(
        lifecycle.shutdown.begin({ reason: "test" }),
        lifecycle.transition("LameDuck")
      ),
      /** Begins the release, and completes when the server no longer listens. Returns how to await the report. */
      beginDrain: Effect.gen(function*() {
        yield* lifecycle.shutdown.begin({ reason: "test" })
        yield* lifecycle.transition("Draining")
        const closing = yield* Effect.forkDaemon(Scope.close(scope, Exit.void))
        yield* lifecycle.follow(({ resource }) =>
          Effect.succeed(Option.exists(resource, ({ stage }) => stage !== "open" && stage !== "quiesced"))
        )
        return Effect.zipRight(Fiber.join(closing), report)
      })
    }
  })

for (const [name, app] of Object.entries(foreignApps)) {
  describe(`HttpServer.drain of ${name}`, () => {
    it.scopedLive("requests in flight get their response with close, new connections are refused", () =>
      Effect.gen(function*() {
        const server = yield* start(app)
        const [idle, slow] = [yield* connect(server.port), yield* connect(server.port)]
        yield* idle.send(get("/idle"))
        yield* idle.until(/\/idle/)
        yield* slow.send(get("/slow"))
        yield* server.arrived
        const drained = yield* server.beginDrain
        assert.notStrictEqual((yield* connect(server.port)).socket.readyState, "open")
        assert.deepStrictEqual(responses(yield* idle.closed), ["200 keep-alive /idle"])
        yield* server.respond
        assert.deepStrictEqual(responses(yield* slow.closed), ["200 close /slow"])
        assert.deepStrictEqual(yield* drained, { outcome: "Drained", finished: 1, cut: 0 })
      }))

    it.scopedLive("in lame duck responses say close, and pipelined ones only the last", () =>
      Effect.gen(function*() {
        const server = yield* start(app)
        const client = yield* connect(server.port)
        yield* server.lameDuck
        yield* client.send(get("/slow") + get("/2"))
        yield* server.arrived
        yield* server.respond
        assert.deepStrictEqual(responses(yield* client.closed), ["200 keep-alive /slow", "200 close /2"])
        assert.deepStrictEqual(yield* yield* server.beginDrain, { outcome: "Drained", finished: 0, cut: 0 })
      }))

    it.scopedLive("a request that does not end gets a 503 after drainTimeout, and counts as cut", () =>
      Effect.gen(function*() {
        const server = yield* start(app, { drainTimeout: "50 millis" })
        const client = yield* connect(server.port)
        yield* client.send(get("/slow"))
        yield* server.arrived
        const drained = yield* server.beginDrain
        assert.deepStrictEqual(responses(yield* client.closed), ["503 close"])
        assert.deepStrictEqual(yield* drained, { outcome: "Interrupted", finished: 0, cut: 1 })
        yield* server.respond
      }))

    it.scopedLive("an event stream ends cleanly at once; any other stream is reset after streamTimeout", () =>
      Effect.gen(function*() {
        const server = yield* start(app, { streamTimeout: "100 millis" })
        const [events, rows] = [yield* connect(server.port), yield* connect(server.port)]
        yield* events.send(get("/events"))
        yield* events.until(/tick/)
        yield* rows.send(get("/rows"))
        yield* rows.until(/\{\}/)
        const drained = yield* server.beginDrain
        assert.match(yield* events.closed, /tick\n\n\r\n0\r\n\r\n$/)
        assert.notMatch(yield* rows.closed, /\r\n0\r\n\r\n$/)
        assert.strictEqual(rows.errorCode(), "ECONNRESET")
        assert.deepStrictEqual(yield* drained, { outcome: "Interrupted", finished: 1, cut: 1 })
      }))
  })
}

describe("HttpServer.drain of pipelined requests", () => {
  it.scopedLive("cuts a stream that has not had its turn, whose listener goes on writing", () =>
    Effect.gen(function*() {
      const writing = yield* Effect.makeLatch()
      const server = yield* start(({ slow }) => {
        const server = createServer((request, response) => {
          if (request.url === "/slow") return void slow().then(() => response.end("/slow"))
          const timer = setInterval(() => {
            response.write("row")
            writing.unsafeOpen()
          }, 1)
          response.on("close", () => clearInterval(timer))
        })
        return { server, listen: () => void server.listen(0, "127.0.0.1") }
      }, { streamTimeout: 0, drainTimeout: "300 millis" })
      const client = yield* connect(server.port)
      yield* client.send(get("/slow") + get("/rows"))
      yield* server.arrived
      yield* writing.await
      const drained = yield* server.beginDrain
      yield* client.closed
      const { cut, outcome } = yield* drained
      assert.deepStrictEqual({ outcome, cut }, { outcome: "Interrupted", cut: 2 })
      yield* server.respond
    }))
})

describe("HttpServer.drain over HTTP/2", () => {
  it.scopedLive("streams in flight finish; one that does not end gets a 503", () =>
    Effect.gen(function*() {
      const server = yield* start(({ slow }) => {
        const server = Http2.createServer((request, response) => {
          if (request.url === "/slow") void slow().then(() => response.end("/slow"))
        })
        return { server, listen: () => void server.listen(0, "127.0.0.1") }
      }, { drainTimeout: "300 millis" })
      const session = yield* Effect.acquireRelease(
        Effect.sync(() => Http2.connect(`http://127.0.0.1:${server.port}`)),
        (session) => Effect.sync(() => session.destroy())
      )
      const status = (path: string) =>
        Effect.async<number | undefined>((resume) => {
          session.request({ ":path": path }).on("response", (headers) => resume(Effect.succeed(headers[":status"])))
        })
      const slow = yield* Effect.fork(status("/slow"))
      const stuck = yield* Effect.fork(status("/stuck"))
      yield* server.arrived
      const drained = yield* server.beginDrain
      yield* server.respond
      assert.deepStrictEqual([yield* Fiber.join(slow), yield* Fiber.join(stuck)], [200, 503])
      assert.deepStrictEqual(yield* drained, { outcome: "Interrupted", finished: 1, cut: 1 })
    }))
})

describe("HttpServer.drain of WebSockets", () => {
  /** A node:http server with something else on its upgrades, added before or after `drain`. */
  const withUpgrades = (attach: (server: Server) => void) => () => {
    const server = createServer((_, response) => response.end())
    return {
      server,
      listen: () => {
        attach(server)
        server.listen(0, "127.0.0.1")
      }
    }
  }

  it.scopedLive("of ws are closed with 1001, and count as finished", () =>
    Effect.gen(function*() {
      const server = yield* start(withUpgrades((server) => {
        new WebSocketServer({ server }).on("connection", (socket) => socket.on("message", (data) => socket.send(data)))
      }))
      const client = new WebSocket(`ws://127.0.0.1:${server.port}`)
      const closed = Effect.async<number>((resume) => void client.once("close", (code) => resume(Effect.succeed(code))))
      yield* Effect.async<void>((resume) => {
        client.once("open", () => client.send("hello")).once("message", () => resume(Effect.void))
      })
      const drained = yield* server.beginDrain
      assert.strictEqual(yield* closed, 1001)
      assert.deepStrictEqual(yield* drained, { outcome: "Drained", finished: 1, cut: 0 })
    }))

  it.scopedLive("of Socket.IO are closed, and their clients hear it at once", () =>
    Effect.gen(function*() {
      const server = yield* start(withUpgrades((server) => void new SocketIoServer(server)))
      const client = yield* Effect.acquireRelease(
        Effect.sync(() => io(`http://127.0.0.1:${server.port}`, { transports: ["websocket"], reconnection: false })),
        (client) => Effect.sync(() => client.close())
      )
      yield* Effect.async<void>((resume) => void client.once("connect", () => resume(Effect.void)))
      const reason = yield* Effect.fork(Effect.async<string>((resume) => {
        client.once("disconnect", (reason) => resume(Effect.succeed(reason)))
      }))
      yield* Effect.yieldNow()
      const drained = yield* server.beginDrain
      assert.strictEqual(yield* Fiber.join(reason), "transport close")
      assert.deepStrictEqual(yield* drained, { outcome: "Drained", finished: 1, cut: 0 })
    }))

  it.scopedLive("are refused in the drain with a 503", () =>
    Effect.gen(function*() {
      const server = yield* start(
        withUpgrades((server) => void new WebSocketServer({ server })),
        { idleLinger: "5 seconds" }
      )
      const client = yield* connect(server.port)
      yield* client.send(get("/"))
      yield* client.until(/200 OK/)
      const drained = yield* server.beginDrain
      yield* client.send(webSocket)
      const received = yield* client.closed
      assert.deepStrictEqual(responses(received), ["200 keep-alive", "503 close"])
      assert.match(received, /retry-after: 1/i)
      assert.deepStrictEqual(yield* drained, { outcome: "Drained", finished: 0, cut: 0 })
    }))

  it.scopedLive("are opened after the responses before them", () =>
    Effect.gen(function*() {
      const server = yield* start(({ slow }) => {
        const server = createServer((_, response) => void slow().then(() => response.end("slow")))
        new WebSocketServer({ server })
        return { server, listen: () => void server.listen(0, "127.0.0.1") }
      })
      const client = yield* connect(server.port)
      yield* client.send(get("/") + webSocket)
      yield* server.arrived
      yield* server.respond
      assert.match(yield* client.until(/101 Switching/), /^HTTP\/1.1 200 [^]*slowHTTP\/1.1 101 /)
    }))

  it.scopedLive("whose client ignores the close frame are cut after streamTimeout", () =>
    Effect.gen(function*() {
      const server = yield* start(
        withUpgrades((server) => void new WebSocketServer({ server })),
        { streamTimeout: "100 millis" }
      )
      const client = yield* connect(server.port)
      yield* client.send(webSocket)
      yield* client.until(/101 Switching/)
      const drained = yield* server.beginDrain
      assert.match(yield* client.closed, /\x88\x02\x03\xe9$/)
      assert.deepStrictEqual(yield* drained, { outcome: "Interrupted", finished: 0, cut: 1 })
    }))
})
