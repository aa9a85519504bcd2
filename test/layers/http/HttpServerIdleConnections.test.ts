import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, Scope } from "effect"
import { createServer } from "node:http"
import type * as Net from "node:net"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { type Client, connect, get, responses } from "../../fixtures/http/client.js"
import { startDrained } from "../../fixtures/http/drainedServer.js"
import { anyPort, echo, portOf, serve, summarize } from "../../fixtures/http/serving.js"
import { eventually } from "../../kit/until.js"

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

/** A Node server, and its socket of the newest connection. */
const watched = () => {
  const server = createServer((request, response) => void response.end(request.url))
  let newest: Net.Socket | undefined
  server.on("connection", (socket: Net.Socket) => {
    newest = socket
  })
  return { server, newest: () => newest! }
}

/** A connection that has had a response, and waits for its next request. */
const kept = (port: number) =>
  Effect.gen(function*() {
    const client = yield* connect(port)
    yield* client.send(get("/first"))
    yield* client.until(/\/first$/)
    return client
  })

/** Sends a part of a request, and completes when the server has read it. */
const receivePart = (client: Client, socket: Net.Socket) =>
  Effect.gen(function*() {
    const before = socket.bytesRead
    yield* client.send("GET /second HTTP/1.1\r\n")
    yield* eventually("it arrives", Effect.sync(() => socket.bytesRead), (bytes) => bytes > before)
  })

const listeners = (socket: Net.Socket) =>
  Object.fromEntries(socket.eventNames().map((name) => [String(name), socket.listenerCount(name)]))

describe("an idle connection", () => {
  it.scopedLive("has the listeners that Node gives it, and nothing else of the server than a number", () =>
    Effect.gen(function*() {
      const { app } = yield* echo
      const bare = watched()
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => void bare.server.listen(0, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.sync(() => void bare.server.close().closeAllConnections())
      )
      const [ours, { server }] = [watched(), bare]
      ours.server.removeAllListeners("request")
      const { port } = yield* serve(app, {}, () => ours.server)
      yield* kept((server.address() as Net.AddressInfo).port)
      yield* kept(port)
      const isIdle = Effect.sync(() => typeof Reflect.get(ours.newest(), Symbol.for("lastcall/http/Connection")))
      yield* eventually("the connection hibernates", isIdle, (is) => is === "number")
      assert.deepStrictEqual(listeners(ours.newest()), listeners(bare.newest()))
    }))

  it.scopedLive("gets its next response, and is closed after idleLinger in the drain", () =>
    Effect.gen(function*() {
      const { app } = yield* echo
      const server = yield* serve(app, { idleLinger: "50 millis" })
      const client = yield* kept(server.port)
      yield* client.send(get("/second"))
      yield* client.until(/\/second$/)
      const report = yield* server.beginDrain
      assert.deepStrictEqual(responses(yield* client.closed), ["200 keep-alive /first", "200 keep-alive /second"])
      assert.deepStrictEqual(summarize(yield* report), { outcome: "Drained", finished: 0, cut: 0 })
    }))

  it.scopedLive("gets a 408 in the drain where a part of its next request had arrived before", () =>
    Effect.gen(function*() {
      const { app } = yield* echo
      const { newest, server: nodeServer } = watched()
      nodeServer.removeAllListeners("request")
      const options = { idleLinger: "5 seconds", stallTimeout: "50 millis" } as const
      const server = yield* serve(app, options, () => nodeServer)
      const client = yield* kept(server.port)
      yield* receivePart(client, newest())
      const report = yield* server.beginDrain
      assert.deepStrictEqual(responses(yield* client.closed), ["200 keep-alive /first", "408 close"])
      assert.deepStrictEqual(summarize(yield* report), { outcome: "Drained", finished: 0, cut: 0 })
    }))

  it.scopedLive("leaves nothing in memory when its client resets it", () =>
    Effect.gen(function*() {
      const { app } = yield* echo
      const { newest, server: nodeServer } = watched()
      nodeServer.removeAllListeners("request")
      const { port } = yield* serve(app, {}, () => nodeServer)
      const sockets: Array<WeakRef<Net.Socket>> = []
      for (let n = 0; n < 10; n++) {
        const client = yield* kept(port)
        sockets.push(new WeakRef(newest()))
        yield* client.reset
      }
      const alive = Effect.sync(() => {
        collectGarbage()
        return sockets.filter((socket) => socket.deref() !== undefined).length
      })
      // The newest one is that of `watched`.
      yield* eventually("the sockets are collected", alive, (count) => count <= 1)
    }))

  it.scopedLive("is closed with a server that has never served an app, also where a part of its next request has arrived", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { newest, server } = watched()
      server.removeAllListeners("request")
      const context = yield* Layer.buildWithScope(HttpServer.layer(() => server, anyPort), scope)
      const client = yield* connect(portOf(context.unsafeMap.get(HttpServer.HttpServer.key)))
      yield* client.send(get("/livez"))
      yield* client.until(/Starting/)
      yield* receivePart(client, newest())
      yield* Scope.close(scope, Exit.void)
      yield* client.closed
    }))
})

describe("a socket that Node has handed over, after a request", () => {
  const handedOver = (event: "connect" | "upgrade", request: string) =>
    Effect.gen(function*() {
      const destroyed = yield* Deferred.make<void>()
      const { port } = yield* startDrained(() => {
        const { server } = watched()
        server.on(event, (_, socket) => {
          Deferred.unsafeDone(destroyed, Effect.void)
          socket.destroy(new Error("lost"))
        })
        return { server, listen: () => server.listen(0, "127.0.0.1") }
      })
      const client = yield* kept(port)
      yield* client.send(request)
      yield* Deferred.await(destroyed)
      // An error without a listener would end the process, and fail the run of the tests.
      yield* client.closed
    })

  it.scopedLive("may fail: as an upgrade", () =>
    handedOver("upgrade", get("/", "Connection: Upgrade", "Upgrade: other")))

  it.scopedLive("may fail: as a tunnel", () => handedOver("connect", "CONNECT test:1 HTTP/1.1\r\nHost: test:1\r\n\r\n"))
})
