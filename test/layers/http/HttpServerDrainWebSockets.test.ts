import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { createServer, type Server } from "node:http"
import { Readable } from "node:stream"
import { Server as SocketIoServer } from "socket.io"
import { io } from "socket.io-client"
import { WebSocket, WebSocketServer } from "ws"
import { connect, get, responses } from "../../fixtures/http/client.js"
import { startDrained } from "../../fixtures/http/drainedServer.js"
import { text, upgrade } from "../../fixtures/http/webSocket.js"

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
      const server = yield* startDrained(withUpgrades((server) => {
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
      const server = yield* startDrained(withUpgrades((server) => void new SocketIoServer(server)))
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
      const server = yield* startDrained(
        withUpgrades((server) => void new WebSocketServer({ server })),
        { idleLinger: "5 seconds" }
      )
      const client = yield* connect(server.port)
      yield* client.send(get("/"))
      yield* client.until(/200 OK/)
      const drained = yield* server.beginDrain
      yield* client.send(upgrade)
      const received = yield* client.closed
      assert.deepStrictEqual(responses(received), ["200 keep-alive", "503 close"])
      assert.match(received, /retry-after: 1/i)
      assert.deepStrictEqual(yield* drained, { outcome: "Drained", finished: 0, cut: 0 })
    }))

  it.scopedLive("are opened after the responses before them", () =>
    Effect.gen(function*() {
      const server = yield* startDrained(({ slow }) => {
        const server = createServer((_, response) => void slow().then(() => response.end("slow")))
        new WebSocketServer({ server })
        return { server, listen: () => void server.listen(0, "127.0.0.1") }
      })
      const client = yield* connect(server.port)
      yield* client.send(get("/") + upgrade)
      yield* server.arrived
      yield* server.respond
      assert.match(yield* client.until(/101 Switching/), /^HTTP\/1.1 200 [^]*slowHTTP\/1.1 101 /)
    }))

  it.scopedLive("are opened, and read, after responses that are larger than what Node buffers", () =>
    Effect.gen(function*() {
      const rows = ["x".repeat(100_000), "x".repeat(100_000)]
      const server = yield* startDrained(({ slow }) => {
        const server = createServer(({ url }, response) => {
          if (url === "/slow") void slow().then(() => Readable.from(rows).pipe(response))
          else response.end(url === "/large" ? rows.join("") : "")
        })
        new WebSocketServer({ server }).on("connection", (socket) => socket.on("message", (data) => socket.send(data)))
        return { server, listen: () => void server.listen(0, "127.0.0.1") }
      })
      const awaitServerRead = connect(server.port).pipe(
        Effect.flatMap((client) => Effect.zipRight(client.send(get("/", "Connection: close")), client.closed)),
        Effect.scoped
      )
      const client = yield* connect(server.port)
      yield* client.send(get("/slow") + get("/large"))
      yield* Effect.zipRight(server.arrived, awaitServerRead)
      yield* client.send(get("/") + upgrade)
      yield* Effect.zipRight(awaitServerRead, server.respond)
      const [before] = (yield* client.until(/101 Switching/)).split("HTTP/1.1 101 ")
      assert.strictEqual(before!.replace(/[^x]/g, "").length, 400_000)
      yield* client.send(text("hello"))
      yield* client.until(/hello/)
      client.socket.end()
      yield* client.closed
      assert.deepStrictEqual(yield* Effect.flatten(server.beginDrain), { outcome: "Drained", finished: 0, cut: 0 })
    }))

  it.scopedLive("whose client ignores the close frame are cut after streamTimeout", () =>
    Effect.gen(function*() {
      const server = yield* startDrained(
        withUpgrades((server) => void new WebSocketServer({ server })),
        { streamTimeout: "100 millis" }
      )
      const client = yield* connect(server.port)
      yield* client.send(upgrade)
      yield* client.until(/101 Switching/)
      const drained = yield* server.beginDrain
      assert.match(yield* client.closed, /\x88\x02\x03\xe9$/)
      assert.deepStrictEqual(yield* drained, { outcome: "Interrupted", finished: 0, cut: 1 })
    }))
})
